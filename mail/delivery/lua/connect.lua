-- A lease on one connection. KEYS  leases, slowed · ARGV  connections of the rule, seconds, token, tokens of dead processes
-- → {1}, or {0, who holds them}
local _, connections, stop = slowed(KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for number = 4, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[number])
end
local most = math.max(1, math.floor(tonumber(ARGV[1]) * connections))
if stop > now then
  return {0}
end
if redis.call('ZCARD', KEYS[1]) >= most then
  return {0, unpack(redis.call('ZRANGE', KEYS[1], 0, 999))}
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) + 60)
return {1}

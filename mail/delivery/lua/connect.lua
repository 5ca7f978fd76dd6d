-- A lease on one connection. KEYS  leases, slowed · ARGV  connections of the rule, seconds, token → 1 or 0
local _, connections, stop = slowed(KEYS[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local most = math.max(1, math.floor(tonumber(ARGV[1]) * connections))
if stop > now or redis.call('ZCARD', KEYS[1]) >= most then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[2]) + 60)
return 1

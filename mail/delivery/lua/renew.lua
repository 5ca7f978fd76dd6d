-- Leases live on; one that was lost (a flush) is there again. KEYS  leases of each token · ARGV  seconds, tokens
for number = 1, #KEYS do
  redis.call('ZADD', KEYS[number], now + tonumber(ARGV[1]), ARGV[number + 1])
  redis.call('EXPIRE', KEYS[number], tonumber(ARGV[1]) + 60)
end
return #KEYS

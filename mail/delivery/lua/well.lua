-- Mails are taken: recovery is five times as fast. KEYS  slowed, index · ARGV  member → 1: still slowed
local FASTER = 4
local rate, connections, stop = slowed(KEYS[1])
if rate >= 1 and connections >= 1 and stop <= now then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
end
if stop > now then
  return 1
end
-- a long silence is no success: only the last minute counts
local more = math.min(60, math.max(0, now - tonumber(redis.call('HGET', KEYS[1], 'at')))) / RECOVERY * FASTER
rate, connections = math.min(1, rate + more), math.min(1, connections + more)
keep(KEYS[1], KEYS[2], ARGV[1], rate, connections, now, stop)
return (rate < 1 or connections < 1) and 1 or 0

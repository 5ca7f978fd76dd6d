-- A receiver said: slower. Several mails in the air hear the same complaint, hence once per half minute.
-- KEYS  slowed, index · ARGV  kind (rate, connections, stop), seconds to stop, member of the index, label, why
local HOLD, FLOOR, AFTER_STOP = 30, 1 / 64, 0.25
local rate, connections, stop = slowed(KEYS[1])
local seconds, at = tonumber(ARGV[2]), now
local before = tonumber(redis.call('HGET', KEYS[1], 'heard') or '0')
local since = redis.call('HGET', KEYS[1], 'since')
if now - before >= HOLD or before > now then
  if ARGV[1] == 'rate' then
    rate = math.max(FLOOR, rate / 2)
  end
  if ARGV[1] ~= 'stop' then
    connections = math.max(FLOOR, connections / 2)
  end
  before = now
end
if seconds > 0 then
  stop = math.max(stop, now + seconds)
  if ARGV[1] == 'stop' then
    rate, connections = math.min(rate, AFTER_STOP), math.min(connections, AFTER_STOP)
  end
end
if stop > now then
  at = stop -- it grows again when mail flows again
end
keep(KEYS[1], KEYS[2], ARGV[3], rate, connections, at, stop)
if redis.call('EXISTS', KEYS[1]) == 0 then -- at full speed all the same
  return 0
end
redis.call('HSET', KEYS[1], 'heard', string.format('%.6f', before), 'label', ARGV[4], 'why', ARGV[5],
  'since', since or string.format('%.6f', now))
return 1

-- In front of every script. A slowed site × source is a hash: `rate` and `connections` (what is left of the rule's,
-- 1 = all), as they were `at`, from when on they grow again; `stop` = nothing before that time. Redis's own clock is the
-- only one. Times are seconds.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local RECOVERY = 7200 -- from nothing to all

local function slowed(key)
  local kept = redis.call('HMGET', key, 'rate', 'connections', 'at', 'stop')
  if not kept[3] then
    return 1, 1, 0
  end
  local grown = math.max(0, now - tonumber(kept[3])) / RECOVERY
  return math.min(1, tonumber(kept[1]) + grown), math.min(1, tonumber(kept[2]) + grown), tonumber(kept[4])
end

local function keep(key, index, member, rate, connections, at, stop)
  local whole = math.max(at, now) + (1 - math.min(rate, connections)) * RECOVERY
  if whole <= now then
    redis.call('DEL', key)
    redis.call('ZREM', index, member)
    return
  end
  redis.call('HSET', key, 'rate', tostring(rate), 'connections', tostring(connections),
    'at', string.format('%.6f', at), 'stop', string.format('%.6f', stop))
  redis.call('EXPIRE', key, math.ceil(whole - now))
  redis.call('ZADD', index, whole, member)
  redis.call('EXPIRE', index, 864000)
end

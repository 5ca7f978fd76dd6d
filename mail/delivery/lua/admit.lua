-- How many mails may go to a site now, and from which source: of those that may send, the one used longest ago.
-- GCRA: each mail moves the theoretical arrival time of its source by one interval; `burst` mails may be ahead of it.
-- KEYS  the site's last uses; then per source: arrival time, slowed, mails of today
-- ARGV  count, interval, interval of an unlimited rule when slowed, burst, seconds until midnight;
--       then per source: its name, its limit of the day (-1: none), mails this process knows of
-- → {number of the source or 0, granted, seconds to wait, what is left of its speed: 1 = all}
local count, interval, slow_interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local midnight = tonumber(ARGV[5])
local best, best_used, best_granted, best_arrival, best_rate
local wait = 86400

for number = 1, (#KEYS - 1) / 3 do
  local arrival_key, slowed_key, today_key = KEYS[number * 3 - 1], KEYS[number * 3], KEYS[number * 3 + 1]
  local name = ARGV[number * 3 + 3]
  local limit, known = tonumber(ARGV[number * 3 + 4]), tonumber(ARGV[number * 3 + 5])
  local rate, connections, stop = slowed(slowed_key)
  local granted, arrival = count, nil
  if stop > now then
    granted = 0
    wait = math.min(wait, stop - now)
  end
  if granted > 0 and limit >= 0 then
    local sent = math.max(known, tonumber(redis.call('GET', today_key) or '0'))
    granted = math.min(granted, limit - sent)
    if granted <= 0 then
      granted = 0
      wait = math.min(wait, midnight)
    end
  end
  local step = interval
  if step == 0 and rate < 1 then
    step = slow_interval
  end
  if granted > 0 and step > 0 then
    step = step / rate
    arrival = math.max(now, tonumber(redis.call('GET', arrival_key) or '0'))
    -- a clock set back, or a rule made faster, must not lock the site
    arrival = math.min(arrival, now + burst * step)
    local room = math.floor((now + burst * step - arrival) / step + 0.000001)
    if room < 1 then
      wait = math.min(wait, arrival + step - now - burst * step)
    end
    granted = math.min(granted, math.max(0, room))
    arrival = arrival + granted * step
  end
  if granted > 0 then
    local used = tonumber(redis.call('HGET', KEYS[1], name) or '0')
    if not best or used < best_used then
      best, best_used, best_granted, best_arrival, best_rate = number, used, granted, arrival, math.min(rate, connections)
    end
  end
end

if not best then
  return {0, 0, tostring(math.max(wait, 0.01)), '0'}
end
if best_arrival then
  redis.call('SET', KEYS[best * 3 - 1], string.format('%.6f', best_arrival), 'EX', math.ceil(best_arrival - now) + 60)
end
local limit = tonumber(ARGV[best * 3 + 4])
if limit >= 0 then
  local today_key = KEYS[best * 3 + 1]
  local sent = math.max(tonumber(ARGV[best * 3 + 5]), tonumber(redis.call('GET', today_key) or '0'))
  redis.call('SET', today_key, sent + best_granted, 'EX', 172800)
end
redis.call('HSET', KEYS[1], ARGV[best * 3 + 3], string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 86400)
return {best, best_granted, '0', tostring(best_rate)}

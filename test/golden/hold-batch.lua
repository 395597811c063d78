#!lua flags=allow-oom
local batch = KEYS[1]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local leaseMs = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- hold-batch: the holder renews its lease and learns what callers want, or gives it back (leaseMs '0').
-- KEYS  batch
-- ARGV  token, leaseMs
-- reply {'held', nowMs, status} | {'lost'}
-- cost  O(1)
local status, holder = unpack(redis.call('HMGET', batch, 'status', 'holder'))
if holder ~= token then
  return {'lost'}
end
if leaseMs == '0' then
  redis.call('HDEL', batch, 'holder', 'leaseUntilMs')
else
  redis.call('HSET', batch, 'leaseUntilMs', nowMs + tonumber(leaseMs))
end
return {'held', nowMs, status}

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

#!lua flags=allow-oom
local record = KEYS[1]
local deadOwner = ARGV[1]
local restFrom = 2
-- reclaim: ends the lease of a worker that is proven dead, so that the job can begin elsewhere at once.
-- KEYS  record
-- ARGV  deadOwner
-- reply 'reclaimed' | 'other' (the job is not its)
-- cost  O(1)
local state, owner = unpack(redis.call('HMGET', record, 'state', 'owner'))
if state ~= 'running' or owner ~= deadOwner then
  return 'other'
end
redis.call('HSET', record, 'leaseUntilMs', 0)
return 'reclaimed'

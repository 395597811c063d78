#!lua flags=allow-oom
local record = KEYS[1]
local deadOwner = ARGV[1]
local restFrom = 2
-- reclaim: ends the lease of a worker that is proven dead, so that the job can begin elsewhere at once.
-- KEYS  record
-- ARGV  deadOwner
-- reply token of the dead worker's ticket, or '' when the job is not its
-- cost  O(1)
local state, owner, token = unpack(redis.call('HMGET', record, 'state', 'owner', 'token'))
if state ~= 'running' or owner ~= deadOwner then
  return ''
end
redis.call('HSET', record, 'leaseUntilMs', 0)
return token

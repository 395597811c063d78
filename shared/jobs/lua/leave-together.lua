-- leave-together: one of the callers that share a job no longer waits for it. When none is left, nobody joins any more.
-- KEYS  together
-- ARGV  jobId (of the shared job), reader (id of the caller's share)
-- reply number of callers left; -1 when the job is not shared (any more, as when this is sent again)
-- cost  O(1)
if redis.call('HGET', together, 'leader') ~= jobId then
  return -1
end
redis.call('HDEL', together, 'reader ' .. reader)
local left = redis.call('HLEN', together) - 1
if left == 0 then
  redis.call('DEL', together)
end
return left

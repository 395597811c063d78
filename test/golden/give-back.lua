#!lua flags=allow-oom
local record = KEYS[1]
local depth = KEYS[2]
local quota = KEYS[3]
local token = ARGV[1]
local restFrom = 2
-- One job more or less waits: of its tenant, and of its key if that has a bound of its own (`boundKey`, or '').
local function countWaiting(by, boundKey)
  redis.call('INCRBY', depth, by)
  if boundKey and boundKey ~= '' and redis.call('HINCRBY', quota .. 'open', 'depth:' .. boundKey, by) <= 0 then
    redis.call('HDEL', quota .. 'open', 'depth:' .. boundKey)
  end
end
-- give-back: undoes a begin of which nothing was sent. The job waits again as if it had never begun.
-- KEYS  record, depth, quota
-- ARGV  token
-- reply 'given' | 'lost' (another owner, the job has ended, or this is sent again because a reply was lost)
-- cost  O(1)
local state, heldToken, attempt, depthKey = unpack(redis.call('HMGET', record, 'state', 'token', 'attempt', 'depthKey'))
if state ~= 'running' or heldToken ~= token then
  return 'lost'
end
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs')
if attempt == '1' then
  redis.call('HDEL', record, 'startedMs')
end
redis.call('HSET', record, 'state', 'queued', 'counted', 1, 'attempt', tonumber(attempt) - 1)
countWaiting(1, depthKey)
return 'given'

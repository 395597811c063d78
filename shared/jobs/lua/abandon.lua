-- abandon: the pair of begin for an attempt that did not end the job. Gives the lease back; the job waits again.
-- KEYS  record, depth, quota
-- ARGV  token, attemptRow (JSON), refusal ('1' = the provider refused for quota: not counted as an attempt), waitReason,
--       delayMs (nothing is sent before it has passed, whatever becomes of the ticket)
-- reply 'abandoned' | 'lost' (another owner, the job has ended, or this is sent again because a reply was lost)
-- cost  O(attempts)
local state, heldToken, attempts, depthKey = unpack(redis.call('HMGET', record, 'state', 'token', 'attempts', 'depthKey'))
if state ~= 'running' or heldToken ~= token then
  return 'lost'
end
redis.call('HINCRBY', record, 'refusals', refusal == '1' and 1 or 0)
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs')
redis.call('HSET', record, 'state', 'queued', 'counted', 1, 'waitReason', waitReason,
  'notBeforeMs', nowMs + tonumber(delayMs), 'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
countWaiting(1, depthKey)
return 'abandoned'

#!lua flags=allow-oom
local record = KEYS[1]
local depth = KEYS[2]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local attemptRow = ARGV[3]
local refusal = ARGV[4]
local waitReason = ARGV[5]
local delayMs = ARGV[6]
local restFrom = 7
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- abandon: the pair of begin for an attempt that did not end the job. Gives the lease back; the job waits again.
-- KEYS  record, depth
-- ARGV  token, attemptRow (JSON), refusal ('1' = the provider refused for quota: not counted as an attempt), waitReason,
--       delayMs (nothing is sent before it has passed, whatever becomes of the ticket)
-- reply 'abandoned' | 'lost' (another owner, the job has ended, or this is sent again because a reply was lost)
-- cost  O(attempts)
local state, heldToken, attempts = unpack(redis.call('HMGET', record, 'state', 'token', 'attempts'))
if state ~= 'running' or heldToken ~= token then
  return 'lost'
end
redis.call('HINCRBY', record, 'refusals', refusal == '1' and 1 or 0)
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs')
redis.call('HSET', record, 'state', 'queued', 'counted', 1, 'waitReason', waitReason,
  'notBeforeMs', nowMs + tonumber(delayMs), 'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
redis.call('INCR', depth)
return 'abandoned'

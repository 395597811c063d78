#!lua flags=allow-oom
local record = KEYS[1]
local depth = KEYS[2]
local quota = KEYS[3]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local attemptRow = ARGV[3]
local refusal = ARGV[4]
local waitReason = ARGV[5]
local delayMs = ARGV[6]
local target = ARGV[7]
local provider = ARGV[8]
local pool = ARGV[9]
local model = ARGV[10]
local tokens = ARGV[11]
local wasted = ARGV[12]
local restFrom = 13
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- One job more or less waits: of its tenant, and of its key if that has a bound of its own (`boundKey`, or '').
local function countWaiting(by, boundKey)
  redis.call('INCRBY', depth, by)
  if boundKey and boundKey ~= '' and redis.call('HINCRBY', quota .. 'open', 'depth:' .. boundKey, by) <= 0 then
    redis.call('HDEL', quota .. 'open', 'depth:' .. boundKey)
  end
end
-- abandon: the pair of begin for an attempt that did not end the job. The job waits again, here or at another target.
-- KEYS  record, depth, quota
-- ARGV  token, attemptRow (JSON), refusal ('1' = the provider refused for quota: not counted as an attempt), waitReason,
--       delayMs (nothing is sent before it has passed, whatever becomes of the ticket), target (index; '' = where it was),
--       provider, pool, model, tokens (of that target), wasted ('' or what the attempt cost although its answer was of no
--       use, as note-lost.lua keeps it)
-- reply 'abandoned' | 'lost' (another owner, the job has ended, or this is sent again because a reply was lost)
-- cost  O(attempts)
local state, heldToken, attempts, depthKey, attempt, lost =
  unpack(redis.call('HMGET', record, 'state', 'token', 'attempts', 'depthKey', 'attempt', 'lost'))
if state ~= 'running' or heldToken ~= token then
  return 'lost'
end
redis.call('HINCRBY', record, 'refusals', refusal == '1' and 1 or 0)
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs')
redis.call('HSET', record, 'state', 'queued', 'counted', 1, 'waitReason', waitReason,
  'notBeforeMs', nowMs + tonumber(delayMs), 'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
countWaiting(1, depthKey)
if target ~= '' then
  redis.call('HSET', record, 'target', target, 'arrivedMs', nowMs, 'attemptsBefore', attempt, 'refusals', 0,
    'provider', provider, 'pool', pool, 'model', model, 'tokens', tokens)
end
if wasted ~= '' then
  redis.call('HSET', record, 'lost', lost and (lost .. '\n' .. wasted) or wasted)
end
return 'abandoned'

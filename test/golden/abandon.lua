#!lua flags=allow-oom
local record = KEYS[1]
local depth = KEYS[2]
local token = ARGV[1]
local attemptRow = ARGV[2]
local refusal = ARGV[3]
local waitReason = ARGV[4]
local restFrom = 5
-- abandon: the pair of begin for an attempt that did not end the job. Gives the lease back; the job waits again.
-- KEYS  record, depth
-- ARGV  token, attemptRow (JSON), refusal ('1' = the provider refused for quota: not counted as an attempt), waitReason
-- reply {'abandoned', attempt, refusals} | {'lost'}
-- cost  O(attempts)
local state, heldToken, attempts = unpack(redis.call('HMGET', record, 'state', 'token', 'attempts'))
if state ~= 'running' or heldToken ~= token then
  return {'lost'}
end
local refusals = redis.call('HINCRBY', record, 'refusals', refusal == '1' and 1 or 0)
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs')
redis.call('HSET', record, 'state', 'queued', 'counted', 1, 'waitReason', waitReason,
  'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
redis.call('INCR', depth)
return {'abandoned', tonumber(redis.call('HGET', record, 'attempt')), refusals}

-- accept: makes the record of a job durable, once. Grants a place among the tenant's waiting jobs, and charges its quotas.
-- KEYS  record, idempotency (any key of the tenant when there is none), jobs, open, depth, quota, together (any key
--       of the tenant when the job is not to be shared)
-- ARGV  jobId, fingerprint ('' = no Idempotency-Key), idempotencyMs, goneJob (holder of the key whose record is gone),
--       waiter ('' = nobody awaits), depthLimit, deadlineMs (from now), firstLookMs, runAtMs ('' = at once),
--       quotaText (what it is charged, '' = nothing), depthKey ('' = no bound of its own), keyDepthLimit,
--       togetherMs ('' = not to be shared: how long the callers of one job are remembered), readersMax;
--       rest = field, value, …
-- reply {'accepted', jobId, deadlineMs} | {'joined', jobId} | {'mismatch', jobId} | {'queue_full', depth, 1 = of its key}
--       | {'together', jobId} (the one that the first of these callers made)
--       | {'limited' | 'too_large' | 'crowded', which quota, how far it is used, retryMs, state of each quota …};
--       with quotas or a bound of its key, accepted goes on: waits (ms), depth of the key, state of each quota …
-- cost  O(log jobs of the tenant + quotas)
-- A command that is sent again because its reply was lost finds its own record and changes nothing.
local known = redis.call('HGET', record, 'deadlineMs')
if known then
  return {'accepted', jobId, tonumber(known)}
end
if fingerprint ~= '' then
  local held = redis.call('GET', idempotency)
  if held then
    local heldJob, heldFingerprint = string.match(held, '^(%S+) (%S+)$')
    if heldJob ~= goneJob then
      if heldFingerprint ~= fingerprint then
        return {'mismatch', heldJob}
      end
      return {'joined', heldJob}
    end
  end
end
if togetherMs ~= '' then
  local leader = redis.call('HGET', together, 'leader')
  local state = leader and redis.call('HGET', string.sub(record, 1, #record - #jobId) .. leader, 'state')
  if state == 'queued' or state == 'running' then
    if redis.call('HLEN', together) - 1 < tonumber(readersMax) then
      redis.call('HSET', together, 'reader ' .. jobId, 1)
      redis.call('PEXPIRE', together, togetherMs)
      return {'together', leader}
    end
    -- Too many share that one: this call has a job of its own.
    togetherMs = ''
  end
end
local waiting = tonumber(redis.call('GET', depth) or '0')
if waiting >= tonumber(depthLimit) then
  return {'queue_full', waiting, 0}
end
local keyWaiting = 0
if depthKey ~= '' then
  keyWaiting = tonumber(redis.call('HGET', quota .. 'open', 'depth:' .. depthKey) or '0')
  if keyWaiting >= tonumber(keyDepthLimit) then
    return {'queue_full', keyWaiting, 1}
  end
end
local latestMs = nowMs + tonumber(deadlineMs)
local quotas, refusal, asked
if quotaText ~= '' then
  quotas = loadQuotas()
  refusal, asked = quotas.ask(quotaText, latestMs, runAtMs ~= '' and tonumber(runAtMs) > nowMs)
  if refusal then
    return refusal
  end
end
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', record, 'state', 'queued', 'createdMs', nowMs, 'deadlineMs', latestMs,
  'counted', 1, 'attempt', 0, 'refusals', 0, 'crashes', 0, 'waiters', waiter, unpack(fields))
redis.call('ZADD', jobs, nowMs, jobId)
redis.call('ZADD', open, nowMs + tonumber(firstLookMs), jobId)
countWaiting(1, depthKey)
if togetherMs ~= '' then
  redis.call('DEL', together)
  redis.call('HSET', together, 'leader', jobId, 'reader ' .. jobId, 1)
  redis.call('PEXPIRE', together, togetherMs)
end
if fingerprint ~= '' then
  redis.call('SET', idempotency, jobId .. ' ' .. fingerprint, 'PX', idempotencyMs)
end
local reply = {'accepted', jobId, latestMs}
if depthKey ~= '' then
  redis.call('HSET', record, 'depthKey', depthKey)
  reply[4], reply[5] = 0, keyWaiting + 1
end
if asked then
  reply[4], reply[5] = 0, reply[5] or 0
  return quotas.letIn(asked, jobId, reply)
end
return reply

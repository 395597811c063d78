#!lua
local record = KEYS[1]
local idempotency = KEYS[2]
local jobs = KEYS[3]
local open = KEYS[4]
local depth = KEYS[5]
local suppliedNowMs = ARGV[1]
local jobId = ARGV[2]
local fingerprint = ARGV[3]
local idempotencyMs = ARGV[4]
local goneJob = ARGV[5]
local waiter = ARGV[6]
local depthLimit = ARGV[7]
local deadlineMs = ARGV[8]
local firstLookMs = ARGV[9]
local restFrom = 10
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- accept: makes the record of a job durable, once. Grants a place among the tenant's waiting jobs.
-- KEYS  record, idempotency (any key of the tenant when there is none), jobs, open, depth
-- ARGV  jobId, fingerprint ('' = no Idempotency-Key), idempotencyMs, goneJob (holder of the key whose record is gone),
--       waiter ('' = nobody awaits), depthLimit, deadlineMs (from now), firstLookMs; rest = field, value, …
-- reply {'accepted', jobId, deadlineMs} | {'joined', jobId} | {'mismatch', jobId} | {'queue_full', depth}
-- cost  O(log jobs of the tenant)
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
local waiting = tonumber(redis.call('GET', depth) or '0')
if waiting >= tonumber(depthLimit) then
  return {'queue_full', waiting}
end
local latestMs = nowMs + tonumber(deadlineMs)
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', record, 'state', 'queued', 'createdMs', nowMs, 'deadlineMs', latestMs,
  'counted', 1, 'attempt', 0, 'refusals', 0, 'crashes', 0, 'waiters', waiter, unpack(fields))
redis.call('ZADD', jobs, nowMs, jobId)
redis.call('ZADD', open, nowMs + tonumber(firstLookMs), jobId)
redis.call('INCR', depth)
if fingerprint ~= '' then
  redis.call('SET', idempotency, jobId .. ' ' .. fingerprint, 'PX', idempotencyMs)
end
return {'accepted', jobId, latestMs}

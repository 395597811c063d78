-- begin: takes the lease for one attempt. No provider is called without it.
-- KEYS  record, depth, quota
-- ARGV  jobId, token (of the ticket as this worker holds it), owner (worker id), place (provider/pool of the ticket),
--       leaseMs, mayTakeOver ('1' = an expired lease may be taken over), crashesMax, mayRunSuspect ('1' = nothing else
--       runs here whose next crash would be its last); rest = fields of the record to return
-- reply {'begun', attempt, nowMs, startedMs, field value, …} | {'settled'} | {'gone'} | {'busy', remainingMs} | {'late'}
--       | {'moved'} (the job is to be run in another pool)
--       | {'early', remainingMs} (a Retry-After or run_at has not passed, or a quota has no room) | {'cancelled'} | {'suspect'}
--       | {'unknown'} (at_most_once and the worker was lost) | {'crashed', crashes}
-- cost  O(1), or O(quotas) once for a job that waits for them
local read = {'state', 'token', 'leaseUntilMs', 'attempt', 'crashes', 'delivery', 'deadlineMs', 'counted', 'runAtMs',
  'notBeforeMs', 'cancelRequested', 'startedMs', 'depthKey', 'quotaText', 'quotaLine',
  'provider', 'pool'}
local own = #read
for index = restFrom, #ARGV do
  read[#read + 1] = ARGV[index]
end
local field = redis.call('HMGET', record, unpack(read))
local state, heldToken, leaseUntilMs, attempt, crashes, delivery, deadlineMs, counted, runAtMs, notBeforeMs,
  cancelRequested, startedMs, depthKey, quotaText, quotaLine, provider, pool = unpack(field, 1, own)
if not state then
  return {'gone'}
end
if state ~= 'queued' and state ~= 'running' then
  return {'settled'}
end
if place ~= provider .. '/' .. pool then
  return {'moved'}
end
attempt = tonumber(attempt)
crashes = tonumber(crashes)
-- The same token begins again only when a reply was lost: the attempt it was granted still stands.
if state ~= 'running' or heldToken ~= token then
  if state == 'running' then
    local untilMs = tonumber(leaseUntilMs or '0')
    if untilMs > nowMs then
      return {'busy', untilMs - nowMs}
    end
    if untilMs > 0 and mayTakeOver ~= '1' then
      return {'busy', tonumber(leaseMs)}
    end
    if delivery == 'at_most_once' then
      return {'unknown'}
    end
    crashes = crashes + 1
    if crashes >= tonumber(crashesMax) then
      return {'crashed', crashes}
    end
  else
    local earliestMs = tonumber(notBeforeMs or runAtMs or '0')
    if earliestMs > nowMs then
      return {'early', earliestMs - nowMs}
    end
    if attempt == 0 and tonumber(deadlineMs) < nowMs then
      return {'late'}
    end
  end
  if cancelRequested then
    return {'cancelled'}
  end
  if crashes > 0 and crashes >= tonumber(crashesMax) - 1 and mayRunSuspect ~= '1' then
    return {'suspect'}
  end
  if quotaText then
    local waitMs = loadQuotas().take(quotaText, jobId, quotaLine)
    if waitMs then
      return {'early', waitMs}
    end
  end
  attempt = attempt + 1
  redis.call('HSET', record, 'state', 'running', 'token', token, 'owner', owner, 'crashes', crashes, 'attempt', attempt,
    'startedMs', startedMs or nowMs, 'leaseUntilMs', nowMs + tonumber(leaseMs), 'counted', 0)
else
  redis.call('HSET', record, 'leaseUntilMs', nowMs + tonumber(leaseMs), 'counted', 0)
end
if counted == '1' then
  countWaiting(-1, depthKey)
end
local reply = {'begun', attempt, nowMs, startedMs or tostring(nowMs)}
for index = own + 1, #read do
  reply[#reply + 1] = field[index] or ''
end
return reply

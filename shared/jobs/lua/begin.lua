-- begin: takes the lease for one attempt. No provider is called without it.
-- KEYS  record, depth
-- ARGV  token (of the ticket as this worker holds it), owner (worker id), leaseMs, mayTakeOver ('1' = an expired lease
--       may be taken over), crashesMax, mayRunSuspect ('1' = nothing else runs here whose next crash would be its
--       last); rest = fields of the record to return
-- reply {'begun', attempt, nowMs, field value, …} | {'settled'} | {'gone'} | {'busy', remainingMs} | {'late'}
--       | {'early', remainingMs} (a Retry-After or run_at has not passed) | {'cancelled'} | {'suspect'}
--       | {'unknown'} (at_most_once and the worker was lost) | {'crashed', crashes}
-- cost  O(1)
local state, heldToken, leaseUntilMs, attempt, crashes, delivery, deadlineMs, counted, runAtMs, notBeforeMs, cancelRequested =
  unpack(redis.call('HMGET', record, 'state', 'token', 'leaseUntilMs', 'attempt', 'crashes', 'delivery', 'deadlineMs',
    'counted', 'runAtMs', 'notBeforeMs', 'cancelRequested'))
if not state then
  return {'gone'}
end
if state ~= 'queued' and state ~= 'running' then
  return {'settled'}
end
-- The same token begins again only when a reply was lost: the attempt it was granted still stands.
local again = state == 'running' and heldToken == token
if not again then
  crashes = tonumber(crashes)
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
    if tonumber(attempt) == 0 and tonumber(deadlineMs) < nowMs then
      return {'late'}
    end
  end
  if cancelRequested then
    return {'cancelled'}
  end
  if crashes > 0 and crashes >= tonumber(crashesMax) - 1 and mayRunSuspect ~= '1' then
    return {'suspect'}
  end
  attempt = redis.call('HINCRBY', record, 'attempt', 1)
  redis.call('HSET', record, 'state', 'running', 'token', token, 'owner', owner, 'crashes', crashes)
  redis.call('HSETNX', record, 'startedMs', nowMs)
end
redis.call('HSET', record, 'leaseUntilMs', nowMs + tonumber(leaseMs))
if counted == '1' then
  redis.call('HSET', record, 'counted', 0)
  redis.call('DECR', depth)
end
local reply = {'begun', tonumber(attempt), nowMs}
local names = {}
for index = restFrom, #ARGV do
  names[#names + 1] = ARGV[index]
end
for index, value in ipairs(redis.call('HMGET', record, unpack(names))) do
  reply[index + 3] = value or ''
end
return reply

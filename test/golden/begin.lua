#!lua flags=allow-oom
local record = KEYS[1]
local depth = KEYS[2]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local owner = ARGV[3]
local leaseMs = ARGV[4]
local mayTakeOver = ARGV[5]
local crashesMax = ARGV[6]
local restFrom = 7
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- begin: takes the lease for one attempt. No provider is called without it.
-- KEYS  record, depth
-- ARGV  token (of the ticket as this worker holds it), owner (worker id), leaseMs, mayTakeOver ('1' = an expired lease
--       may be taken over), crashesMax; rest = fields of the record to return
-- reply {'begun', attempt, nowMs, field value, …} | {'settled'} | {'gone'} | {'busy', remainingMs} | {'late'}
--       | {'unknown'} (at_most_once and the worker was lost) | {'crashed', crashes}
-- cost  O(1)
local state, heldToken, leaseUntilMs, attempt, crashes, delivery, deadlineMs, counted = unpack(redis.call('HMGET', record,
  'state', 'token', 'leaseUntilMs', 'attempt', 'crashes', 'delivery', 'deadlineMs', 'counted'))
if not state then
  return {'gone'}
end
if state ~= 'queued' and state ~= 'running' then
  return {'settled'}
end
-- The same token begins again only when a reply was lost: the attempt it was granted still stands.
local again = state == 'running' and heldToken == token
if state == 'running' and not again then
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
  crashes = redis.call('HINCRBY', record, 'crashes', 1)
  if crashes >= tonumber(crashesMax) then
    return {'crashed', crashes}
  end
end
if state == 'queued' and tonumber(attempt) == 0 and tonumber(deadlineMs) < nowMs then
  return {'late'}
end
if not again then
  attempt = redis.call('HINCRBY', record, 'attempt', 1)
  redis.call('HSET', record, 'state', 'running', 'token', token, 'owner', owner, 'attemptMs', nowMs)
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

#!lua flags=allow-oom
local record = KEYS[1]
local open = KEYS[2]
local depth = KEYS[3]
local ledger = KEYS[4]
local suppliedNowMs = ARGV[1]
local jobId = ARGV[2]
local settler = ARGV[3]
local holder = ARGV[4]
local state = ARGV[5]
local onlyWaiting = ARGV[6]
local retentionMs = ARGV[7]
local head = ARGV[8]
local body = ARGV[9]
local usage = ARGV[10]
local attemptRow = ARGV[11]
local ledgerRowsMax = ARGV[12]
local restFrom = 13
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- settle: the end of a job. First writer wins; a later one only leaves a ledger row for what it cost.
-- KEYS  record, open, depth, ledger
-- ARGV  jobId, settler (number of the attempt, or ''), holder ('' = whoever comes first; a token = only while it holds
--       the lease, so that the failure of one attempt does not end a job that another worker runs by now),
--       state (terminal), onlyWaiting ('1' = only if no worker runs it; then no attempt is recorded), retentionMs,
--       head (JSON), body, usage (JSON or ''), attemptRow (JSON or ''), ledgerRowsMax; rest = ledger field, value, …
-- reply {'settled', waiters} | {'already', state} | {'running', owner ('' = nobody)} | {'gone'}
-- cost  O(size of the body)
local current, counted, waiters, attempts, owner, settledBy, token = unpack(redis.call('HMGET', record,
  'state', 'counted', 'waiters', 'attempts', 'owner', 'settledBy', 'token'))
if not current then
  return {'gone'}
end
local row = {}
for index = restFrom, #ARGV do
  row[#row + 1] = ARGV[index]
end
if current ~= 'queued' and current ~= 'running' then
  -- An attempt whose reply was lost settles again: its row is written already.
  if #row > 0 and not string.find(' ' .. settledBy .. ' ', ' ' .. settler .. ' ', 1, true) then
    redis.call('HSET', record, 'settledBy', settledBy .. ' ' .. settler)
    redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', 'kind', 'wasted', unpack(row))
  end
  return {'already', current}
end
if (onlyWaiting == '1' and current == 'running') or (holder ~= '' and holder ~= token) then
  return {'running', owner or ''}
end
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs', 'waiters', 'waitReason', 'notBeforeMs', 'request', 'headers')
local fields = {'state', state, 'finishedMs', nowMs, 'head', head, 'body', body, 'counted', 0, 'settledBy', settler}
if usage ~= '' then
  fields[#fields + 1] = 'usage'
  fields[#fields + 1] = usage
end
if attemptRow ~= '' then
  fields[#fields + 1] = 'attempts'
  fields[#fields + 1] = (attempts and (attempts .. '\n') or '') .. attemptRow
end
redis.call('HSET', record, unpack(fields))
if counted == '1' then
  redis.call('DECR', depth)
end
redis.call('ZREM', open, jobId)
redis.call('PEXPIRE', record, retentionMs)
if #row > 0 then
  redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', 'kind', 'settled', unpack(row))
end
return {'settled', waiters or ''}

#!lua flags=allow-oom
local record = KEYS[1]
local open = KEYS[2]
local depth = KEYS[3]
local ledger = KEYS[4]
local suppliedNowMs = ARGV[1]
local jobId = ARGV[2]
local settler = ARGV[3]
local state = ARGV[4]
local onlyWaiting = ARGV[5]
local retentionMs = ARGV[6]
local head = ARGV[7]
local body = ARGV[8]
local usage = ARGV[9]
local attemptRow = ARGV[10]
local ledgerRowsMax = ARGV[11]
local restFrom = 12
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- settle: the end of a job. First writer wins; a later one only leaves a ledger row for what it cost.
-- KEYS  record, open, depth, ledger
-- ARGV  jobId, settler (number of the attempt, or ''), state (terminal), onlyWaiting ('1' = only if no worker runs it; then no attempt is recorded), retentionMs,
--       head (JSON), body, usage (JSON or ''), attemptRow (JSON or ''), ledgerRowsMax; rest = ledger field, value, …
-- reply {'settled', waiters} | {'already', state} | {'running', owner} | {'gone'}
-- cost  O(size of the body)
local current, counted, waiters, attempts, owner, settledBy = unpack(redis.call('HMGET', record,
  'state', 'counted', 'waiters', 'attempts', 'owner', 'settledBy'))
if not current then
  return {'gone'}
end
local row = {}
for index = restFrom, #ARGV do
  row[#row + 1] = ARGV[index]
end
if current ~= 'queued' and current ~= 'running' then
  -- The same attempt settles again only when a reply was lost: its row is written already.
  if #row > 0 and settledBy ~= settler then
    redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', 'kind', 'wasted', unpack(row))
  end
  return {'already', current}
end
if onlyWaiting == '1' and current == 'running' then
  return {'running', owner or ''}
end
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs', 'waiters', 'waitReason', 'request', 'headers')
redis.call('HSET', record, 'state', state, 'finishedMs', nowMs, 'head', head, 'body', body, 'counted', 0,
  'settledBy', settler)
if usage ~= '' then
  redis.call('HSET', record, 'usage', usage)
end
if attemptRow ~= '' then
  redis.call('HSET', record, 'attempts', (attempts and (attempts .. '\n') or '') .. attemptRow)
end
if counted == '1' then
  redis.call('DECR', depth)
end
redis.call('ZREM', open, jobId)
redis.call('PEXPIRE', record, retentionMs)
if #row > 0 then
  redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', 'kind', 'settled', unpack(row))
end
return {'settled', waiters or ''}

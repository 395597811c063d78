-- settle: the end of a job. First writer wins; a later one only leaves a ledger row for what it cost.
-- A job that somebody wants to hear of by webhook gets its message in the same step.
-- KEYS  record, open, depth, ledger, learned, outbox, message, subscriptions
-- ARGV  jobId, event (its type), messageId, outboxHoldMs (how long the record stays for the message to be made from it),
--       outboxChannel, tenant, settler (number of the attempt, or ''), holder ('' = whoever comes first; a token = only
--       while it holds the lease, so that the failure of one attempt does not end a job that another worker runs by now),
--       state (terminal), onlyWaiting ('1' = only if no worker runs it; then no attempt is recorded), retentionMs,
--       head (JSON), body, usage (JSON or ''), attemptRow (JSON or ''), ledgerRowsMax,
--       learnedField ('' = nothing to learn), usedInput, usedOutput, untaught, learnedMax; rest = ledger field, value, …
-- reply {'settled', waiters} | {'already', state} | {'running', owner ('' = nobody)} | {'gone'}
-- cost  O(size of the body)
local current, counted, waiters, attempts, owner, settledBy, token, tokens, webhook, lost = unpack(redis.call('HMGET',
  record, 'state', 'counted', 'waiters', 'attempts', 'owner', 'settledBy', 'token', 'tokens', 'webhook', 'lost'))
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
if lost then
  -- Attempts whose worker was lost: what they are known to have used is charged once, unless this is one of them after all.
  local provider, model = unpack(redis.call('HMGET', record, 'provider', 'model'))
  for number, input, output in string.gmatch(lost, '(%d+) (%d+) (%d+)') do
    if number ~= settler then
      fields[#fields] = fields[#fields] .. ' ' .. number
      redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', 'kind', 'wasted', 'job', jobId, 'attempt', number,
        'provider', provider, 'model', model, 'inputTokens', input, 'outputTokens', output)
    end
  end
end
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
if learnedField ~= '' then
  -- Mean and deviation after one more sample (learned.ts says why so).
  local function follow(mean, deviation, sample, calls)
    local farthest = 4 * math.max(deviation, mean / 20)
    local miss = math.max(-farthest, math.min(farthest, sample - mean))
    return mean + miss / math.min(calls + 1, 8), deviation + (math.abs(miss) - deviation) / 4
  end
  local known = redis.call('HGET', learned, learnedField)
  if not known and redis.call('HLEN', learned) >= tonumber(learnedMax) then
    redis.call('HDEL', learned, redis.call('HRANDFIELD', learned))
  end
  local ratio, ratioDeviation, output, outputDeviation, calls =
    string.match(known or untaught, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  local linear = tokens and tonumber(cjson.decode(tokens).linear) or 0
  if linear > 0 then
    ratio, ratioDeviation = follow(tonumber(ratio), tonumber(ratioDeviation), usedInput / linear, calls)
  end
  output, outputDeviation = follow(tonumber(output), tonumber(outputDeviation), tonumber(usedOutput), calls)
  redis.call('HSET', learned, learnedField,
    string.format('%.6g %.6g %.6g %.6g %d', ratio, ratioDeviation, output, outputDeviation, calls + 1))
end
if webhook or redis.call('HEXISTS', subscriptions, event) == 1 then
  redis.call('HSET', message, 'type', event, 'job', jobId, 'target', webhook or '', 'createdMs', nowMs)
  redis.call('ZADD', outbox, nowMs, messageId)
  redis.call('PEXPIRE', record, math.max(tonumber(retentionMs), tonumber(outboxHoldMs)))
  redis.call('PUBLISH', outboxChannel, tenant)
end
return {'settled', waiters or ''}

-- settle: the end of a job. First writer wins; a later one only leaves a ledger row for what it cost.
-- A job that somebody wants to hear of by webhook gets its message in the same step.
-- What the job and its attempts have cost goes into the ledger and, added up, into the usage of the day.
-- KEYS  record, open, depth, ledger, learned, outbox, message, subscriptions, usagePrefix (completed by the UTC day),
--       quota, together (prefix, completed by the record)
-- ARGV  jobId, event (its type), messageId, outboxHoldMs (how long the record stays for the message to be made from it),
--       outboxChannel, tenant, settler (number of the attempt, or ''), holder ('' = whoever comes first; a token = only
--       while it holds the lease, so that the failure of one attempt does not end a job that another worker runs by now),
--       state (terminal), onlyWaiting ('1' = only if no worker runs it; then no attempt is recorded), retentionMs,
--       head (JSON), body, usage (JSON or ''), attemptRow (JSON or ''), ledgerRowsMax,
--       learnedField ('' = nothing to learn), provider, model (that were called), usedInput ('' without usage), usedCached,
--       usedOutput, nanoUsd ('' = no known price), usageCellsMax, usageLifeMs, untaught, learnedMax
-- reply {'settled', waiters, job that waited for a quota of which something is free now, …} | {'already', state} | {'running', owner ('' = nobody)} | {'gone'}
-- cost  O(size of the body + quotas)
local current, counted, waiters, attempts, owner, settledBy, token, tokens, webhook, lost, axes, begun, depthKey, charged,
  quotaLine, shared = unpack(redis.call('HMGET', record, 'state', 'counted', 'waiters', 'attempts', 'owner', 'settledBy', 'token',
  'tokens', 'webhook', 'lost', 'axes', 'attempt', 'depthKey', 'quota', 'quotaLine', 'together'))
if not current then
  return {'gone'}
end
axes = axes or '{}'

-- What all rows of the ledger that are written here come to, by the dimensions of quotas.
local spent = {tokens = 0, input_tokens = 0, output_tokens = 0, nano_usd = 0}

local function writeRow(kind, attempt, ofProvider, ofModel, input, cached, output, cost)
  local row = {'kind', kind, 'job', jobId, 'attempt', attempt, 'provider', ofProvider, 'model', ofModel, 'axes', axes,
    'inputTokens', input, 'outputTokens', output}
  if cached ~= '' and cached ~= '0' then
    row[#row + 1] = 'cachedTokens'
    row[#row + 1] = cached
  end
  if cost ~= '' then
    row[#row + 1] = 'nanoUsd'
    row[#row + 1] = cost
  end
  redis.call('XADD', ledger, 'MAXLEN', '~', ledgerRowsMax, '*', unpack(row))
  spent.tokens = spent.tokens + input + output
  spent.input_tokens = spent.input_tokens + input
  spent.output_tokens = spent.output_tokens + output
  -- Without a price nothing is known: what was held stays charged.
  spent.nano_usd = cost ~= '' and spent.nano_usd and spent.nano_usd + cost or nil
end

-- Nine counters as doubles (usage-cell.ts names them): packing them takes a tenth of the time that digits take.
local nineDoubles = '<ddddddddd'

-- Adds to the cell of the day that has these axes. Once there are too many cells, users and features are told apart no
-- more; once there are too many of those, nothing is.
local function addUsage(ofProvider, ofModel, calls, failures, input, cached, output, cost, unpriced, wasted, wastedCost)
  local day = usagePrefix .. math.floor(nowMs / 86400000)
  local cell = axes .. '\n' .. ofProvider .. '\n' .. ofModel
  local known, cells = redis.call('HGET', day, cell), nil
  if not known then
    cells = redis.call('HLEN', day)
    if cells >= tonumber(usageCellsMax) then
      local of, coarse = cjson.decode(axes), {}
      for _, name in ipairs({'key', 'team', 'route'}) do
        if of[name] then coarse[#coarse + 1] = cjson.encode(name) .. ':' .. cjson.encode(of[name]) end
      end
      coarse[#coarse + 1] = '"user":"(other)","feature":"(other)"'
      cell = '{' .. table.concat(coarse, ',') .. '}\n' .. ofProvider .. '\n' .. ofModel
      known = redis.call('HGET', day, cell)
      if not known and cells >= tonumber(usageCellsMax) * 1.1 then
        cell = '{"key":"(other)","team":"(other)","user":"(other)","feature":"(other)","route":"(other)"}\n(other)\n(other)'
        known = redis.call('HGET', day, cell)
      end
    end
  end
  if known then
    local a, b, c, d, e, f, g, h, i = struct.unpack(nineDoubles, known)
    calls, failures, input, cached, output = calls + a, failures + b, input + c, cached + d, output + e
    cost, unpriced, wasted, wastedCost = cost + f, unpriced + g, wasted + h, wastedCost + i
  end
  redis.call('HSET', day, cell,
    struct.pack(nineDoubles, calls, failures, input, cached, output, cost, unpriced, wasted, wastedCost))
  if cells == 0 then
    redis.call('PEXPIRE', day, usageLifeMs)
  end
end

local function waste(attempt, ofProvider, ofModel, input, cached, output, cost)
  writeRow('wasted', attempt, ofProvider, ofModel, input, cached, output, cost)
  addUsage(ofProvider, ofModel, 0, 0, 0, 0, 0, 0, cost == '' and 1 or 0, input + output, tonumber(cost) or 0)
end

local used = usedInput ~= ''
if current ~= 'queued' and current ~= 'running' then
  -- An attempt whose reply was lost settles again: its row is written already.
  if used and not string.find(' ' .. settledBy .. ' ', ' ' .. settler .. ' ', 1, true) then
    redis.call('HSET', record, 'settledBy', settledBy .. ' ' .. settler)
    waste(settler, provider, model, usedInput, usedCached, usedOutput, nanoUsd)
    if charged then
      loadQuotas().add(charged, spent)
    end
  end
  return {'already', current}
end
if (onlyWaiting == '1' and current == 'running') or (holder ~= '' and holder ~= token) then
  return {'running', owner or ''}
end
redis.call('HDEL', record, 'token', 'owner', 'leaseUntilMs', 'waiters', 'waitReason', 'notBeforeMs', 'request', 'headers',
  'quotaText', 'quotaLine', 'waitQuota', 'cache')
local fields = {'state', state, 'finishedMs', nowMs, 'head', head, 'body', body, 'counted', 0, 'settledBy', settler}
if lost then
  -- Attempts whose worker was lost, or whose answer was of no use: what they are known to have used is charged once, unless this is one of them after all.
  for row in string.gmatch(lost, '[^\n]+') do
    local number, input, output, cached, cost, ofProvider, ofModel =
      string.match(row, '^(%d+) (%d+) (%d+) ?(%d*) ?(%d*) ?(%S*) ?(.*)$')
    if number ~= settler then
      fields[#fields] = fields[#fields] .. ' ' .. number
      local atPlace = ofProvider ~= ''
      waste(number, atPlace and ofProvider or provider, atPlace and ofModel or model, input, cached, output, cost)
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
  countWaiting(-1, depthKey)
end
redis.call('ZREM', open, jobId)
if shared and redis.call('HGET', together .. shared, 'leader') == jobId then
  redis.call('DEL', together .. shared)
end
redis.call('PEXPIRE', record, retentionMs)
if used then
  writeRow('settled', settler, provider, model, usedInput, usedCached, usedOutput, nanoUsd)
end
addUsage(provider, model, 1, state ~= 'succeeded' and state ~= 'cancelled' and 1 or 0, tonumber(usedInput) or 0,
  tonumber(usedCached) or 0, tonumber(usedOutput) or 0, tonumber(nanoUsd) or 0, used and nanoUsd == '' and 1 or 0, 0, 0)
local reply = {'settled', waiters or ''}
if charged then
  -- An answer that does not tell its usage costs what was held for it; what was never begun costs nothing.
  local actual = (used or state ~= 'succeeded') and spent or {}
  actual.requests = begun == '0' and 0 or 1
  for _, woken in ipairs(loadQuotas().trueUp(charged, actual)) do
    reply[#reply + 1] = woken
  end
elseif quotaLine then
  loadQuotas().leave(jobId, quotaLine)
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
return reply

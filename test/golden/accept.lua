#!lua
local record = KEYS[1]
local idempotency = KEYS[2]
local jobs = KEYS[3]
local open = KEYS[4]
local depth = KEYS[5]
local quota = KEYS[6]
local together = KEYS[7]
local suppliedNowMs = ARGV[1]
local jobId = ARGV[2]
local fingerprint = ARGV[3]
local idempotencyMs = ARGV[4]
local goneJob = ARGV[5]
local waiter = ARGV[6]
local depthLimit = ARGV[7]
local deadlineMs = ARGV[8]
local firstLookMs = ARGV[9]
local runAtMs = ARGV[10]
local quotaText = ARGV[11]
local depthKey = ARGV[12]
local keyDepthLimit = ARGV[13]
local togetherMs = ARGV[14]
local readersMax = ARGV[15]
local restFrom = 16
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- One job more or less waits: of its tenant, and of its key if that has a bound of its own (`boundKey`, or '').
local function countWaiting(by, boundKey)
  redis.call('INCRBY', depth, by)
  if boundKey and boundKey ~= '' and redis.call('HINCRBY', quota .. 'open', 'depth:' .. boundKey, by) <= 0 then
    redis.call('HDEL', quota .. 'open', 'depth:' .. boundKey)
  end
end
--[[
  Quotas: what a call is charged under every limit that counts it, all or nothing.

    (not charged) ──take──▶ charged: written into the record ──trueUp──▶ what was really used
          │  ▲
          └──┘ waits: its place is in the line of the limit that holds it back longest

  `quota` is the prefix of all keys, on the tenant's slot:
    c:<counter>   a window: hash {t: total, o: oldest slot, n: newest slot, <slot>: amount} or, of a bucket, the time until
                  which it leaks; with a calendar the name ends with the period and the value is its amount
    open          hash: calls that have not ended, by counter; calls of a key that wait, by `depth:<key>`
    w:<counter>   sorted set: jobs that wait for the counter, by when they came
    names         sorted set: counters whose names callers choose, by when they end, so that their number is bounded

  What is charged is written as lines `<counting> <dimension> <charged> <place> <detail> <counter>`, so that whoever settles
  needs no configuration. `counting` and its details are explained in prepare-limits.ts.

  Only a script that has quotas to look at makes all of this: `local quotas = loadQuotas()`.
]]
local function loadQuotas()
local quotas = {}
local counters = {}
-- Milliseconds that times of buckets may be off by, because they are sums of fractions.
local grainMs = 0.01
-- Nobody knows when a call ends: whoever asks for a place is told to come back after this long.
local openRetryMs = 1000
local dayMs = 86400000
-- Longer than any window.
local namesMs = 2 * 365 * dayMs

local function whole(number)
  return string.format('%.0f', number)
end

-- Days since 1970 of the first of a month, and the year and month of a day (civil calendar by H. Hinnant).
local function dayOf(year, month)
  local shifted = month <= 2 and year - 1 or year
  local era = math.floor(shifted / 400)
  local yearOfEra = shifted - era * 400
  local dayOfYear = math.floor((153 * ((month + 9) % 12) + 2) / 5)
  return era * 146097 + yearOfEra * 365 + math.floor(yearOfEra / 4) - math.floor(yearOfEra / 100) + dayOfYear - 719468
end
local function monthOf(day)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local dayOfEra = shifted - era * 146097
  local yearOfEra = math.floor(
    (dayOfEra - math.floor(dayOfEra / 1460) + math.floor(dayOfEra / 36524) - math.floor(dayOfEra / 146096)) / 365)
  local dayOfYear = dayOfEra - (365 * yearOfEra + math.floor(yearOfEra / 4) - math.floor(yearOfEra / 100))
  local index = math.floor((5 * dayOfYear + 2) / 153)
  local month = index < 10 and index + 3 or index - 9
  return yearOfEra + era * 400 + (month <= 2 and 1 or 0), month
end

-- The period of the calendar that holds this moment: its begin and its end.
local function periodOf(unit, windowMs)
  local day = math.floor(nowMs / dayMs)
  if unit == 'w' then
    local monday = math.floor((day + 3) / 7) * 7 - 3
    return monday * dayMs, (monday + 7) * dayMs
  end
  if unit ~= 'M' and unit ~= 'Y' then
    local beginMs = math.floor(nowMs / windowMs) * windowMs
    return beginMs, beginMs + windowMs
  end
  local year, month = monthOf(day)
  if unit == 'Y' then
    return dayOf(year, 1) * dayMs, dayOf(year + 1, 1) * dayMs
  end
  local nextYear, nextMonth = year + math.floor(month / 12), month % 12 + 1
  return dayOf(year, month) * dayMs, dayOf(nextYear, nextMonth) * dayMs
end

-- A counter whose name callers chose goes on for so long.
local function noteName(charge, forMs)
  if charge.spread and redis.call('ZADD', quota .. 'names', nowMs + forMs, charge.counter) == 1 then
    redis.call('PEXPIRE', quota .. 'names', namesMs)
  end
end

-- Each kind of counter: `read` finds how far it is used, `charge` takes the cost of a call (and says what it needs to be
-- trued up), `change` adds to what was charged once. Reading changes nothing, so a refused call leaves no trace.
counters.slots = {
  read = function(charge)
    local slotMs, windowMs = charge.detail, charge.windowMs
    local total, oldest, newest = unpack(redis.call('HMGET', charge.key, 't', 'o', 'n'))
    charge.isNew = not total
    charge.used, charge.oldest, charge.newest, charge.ended = tonumber(total or 0), tonumber(oldest), tonumber(newest), {}
    local first = math.floor((nowMs - windowMs) / slotMs)
    if not total or charge.newest < first then
      charge.used, charge.oldest = 0, nil
    elseif charge.oldest < first then
      for slot = charge.oldest, first - 1 do
        charge.ended[#charge.ended + 1] = slot
      end
      for _, amount in ipairs(redis.call('HMGET', charge.key, unpack(charge.ended))) do
        charge.used = charge.used - tonumber(amount or 0)
      end
      charge.oldest = first
    end
    charge.resetMs = charge.used > 0 and (charge.newest + 1) * slotMs + windowMs - nowMs or 0
    local over = charge.used + charge.cost - charge.limit
    charge.retryMs = 0
    if over > 0 and charge.oldest then
      local slots = {}
      for slot = charge.oldest, charge.newest do
        slots[#slots + 1] = slot
      end
      for index, amount in ipairs(redis.call('HMGET', charge.key, unpack(slots))) do
        over = over - tonumber(amount or 0)
        charge.retryMs = (slots[index] + 1) * slotMs + windowMs - nowMs
        if over <= 0 then
          break
        end
      end
    end
  end,
  charge = function(charge)
    local slotMs, windowMs = charge.detail, charge.windowMs
    local slot = math.max(math.floor(nowMs / slotMs), charge.newest or 0)
    if not charge.oldest then
      redis.call('DEL', charge.key)
    elseif #charge.ended > 0 then
      redis.call('HDEL', charge.key, unpack(charge.ended))
    end
    charge.used = charge.used + charge.cost
    redis.call('HSET', charge.key, 't', whole(charge.used), 'o', charge.oldest or slot, 'n', slot)
    redis.call('HINCRBY', charge.key, slot, whole(charge.cost))
    if slot ~= charge.newest or not charge.oldest then
      redis.call('PEXPIRE', charge.key, windowMs + 2 * slotMs)
      noteName(charge, windowMs + 2 * slotMs)
    end
    charge.resetMs = (slot + 1) * slotMs + windowMs - nowMs
    return slot, slotMs
  end,
  change = function(key, delta, slot)
    if redis.call('HEXISTS', key, slot) == 1 then
      redis.call('HINCRBY', key, slot, whole(delta))
      redis.call('HINCRBY', key, 't', whole(delta))
    end
  end,
}

counters.calendar = {
  read = function(charge)
    local beginMs, endMs = periodOf(charge.detail, charge.windowMs)
    charge.counter = charge.counter .. ':' .. whole(beginMs)
    charge.key = quota .. 'c:' .. charge.counter
    local amount = redis.call('GET', charge.key)
    charge.isNew = not amount
    charge.used, charge.resetMs, charge.retryMs = tonumber(amount or 0), endMs - nowMs, 0
    if charge.used + charge.cost > charge.limit then
      charge.retryMs = endMs - nowMs
    end
  end,
  charge = function(charge)
    charge.used = tonumber(redis.call('INCRBY', charge.key, whole(charge.cost)))
    if charge.isNew then
      redis.call('PEXPIRE', charge.key, charge.resetMs)
      noteName(charge, charge.resetMs)
    end
    return 0, 0
  end,
  change = function(key, delta)
    if redis.call('EXISTS', key) == 1 then
      redis.call('INCRBY', key, whole(delta))
    end
  end,
}

local function readBucket(charge)
  local held = redis.call('GET', charge.key)
  charge.isNew = not held
  charge.perUnitMs = charge.windowMs / charge.limit
  charge.untilMs = math.max(tonumber(held or 0), nowMs)
  charge.used = math.ceil((charge.untilMs - nowMs) / charge.perUnitMs - grainMs)
  charge.resetMs = math.ceil(charge.untilMs - nowMs)
end
local function chargeBucket(charge)
  charge.untilMs = charge.untilMs + charge.cost * charge.perUnitMs
  local leaksMs = charge.untilMs - nowMs
  redis.call('SET', charge.key, string.format('%.17g', charge.untilMs), 'PX', whole(math.ceil(leaksMs) + 1000))
  noteName(charge, math.ceil(leaksMs) + 1000)
  charge.used, charge.resetMs = math.ceil(leaksMs / charge.perUnitMs - grainMs), math.ceil(leaksMs)
  return 0, string.format('%.17g', charge.perUnitMs)
end
local function changeBucket(key, delta, _, perUnitMs)
  local untilMs = tonumber(redis.call('GET', key) or 0)
  untilMs = (delta > 0 and math.max(untilMs, nowMs) or untilMs) + delta * tonumber(perUnitMs)
  if untilMs > nowMs then
    redis.call('SET', key, string.format('%.17g', untilMs), 'PX', whole(math.ceil(untilMs - nowMs) + 1000))
  else
    redis.call('DEL', key)
  end
end

counters.bucket = {
  read = function(charge)
    readBucket(charge)
    charge.limit = charge.detail
    local overMs = charge.untilMs - nowMs + (charge.cost - charge.detail) * charge.perUnitMs
    charge.retryMs = overMs > grainMs and math.ceil(overMs) or 0
  end,
  charge = chargeBucket,
  change = changeBucket,
}
counters.even = {
  read = function(charge)
    readBucket(charge)
    charge.retryMs = charge.untilMs - nowMs > grainMs and math.ceil(charge.untilMs - nowMs) or 0
  end,
  charge = chargeBucket,
  change = changeBucket,
}

counters.open = {
  read = function(charge)
    charge.key = quota .. 'open'
    charge.used = tonumber(redis.call('HGET', charge.key, charge.counter) or 0)
    charge.resetMs = charge.used > 0 and openRetryMs or 0
    charge.retryMs = charge.used + charge.cost > charge.limit and openRetryMs or 0
  end,
  charge = function(charge)
    charge.used = redis.call('HINCRBY', charge.key, charge.counter, 1)
    return 0, 0
  end,
}

-- Adds to a count in the hash of what is open; what returns to zero is gone.
function quotas.count(field, by)
  if redis.call('HINCRBY', quota .. 'open', field, by) <= 0 then
    redis.call('HDEL', quota .. 'open', field)
  end
end

local function readAll(text)
  local countersMax, recheckMs, rows = unpack(cjson.decode(text))
  local charges = {}
  for index, row in ipairs(rows) do
    local counter, counting, dimension, limit, cost, windowMs, detail, whenFull, spread, label = unpack(row)
    local charge = {
      counter = counter, line = counter, counting = counting, dimension = dimension, limit = limit, cost = cost,
      windowMs = windowMs, detail = detail, whenFull = whenFull, spread = spread, key = quota .. 'c:' .. counter,
      index = index, label = label,
    }
    counters[counting].read(charge)
    charges[index] = charge
  end
  return charges, recheckMs, countersMax
end

local function isCrowded(charges, countersMax)
  for _, charge in ipairs(charges) do
    if charge.spread and charge.isNew then
      redis.call('ZREMRANGEBYSCORE', quota .. 'names', '-inf', nowMs)
      local names = redis.call('ZCARD', quota .. 'names')
      if names >= countersMax then
        return charge, names
      end
    end
  end
end

-- How long until it is worth a look whether a job may begin: when there will be room for it and for those before it,
-- but no later than so that room that becomes free sooner is found.
local function pauseMs(charge, rank, recheckMs)
  local eachMs = 2
  if charge.counting ~= 'open' and charge.counting ~= 'calendar' then
    eachMs = math.max(eachMs, charge.cost * charge.windowMs / charge.limit)
  end
  local latestMs = recheckMs * math.max(1, rank / 1000)
  return math.max(1, math.ceil(math.min(charge.retryMs + rank * eachMs, latestMs)))
end

-- Puts a job into the line of the limit that holds it back longest; returns when to look again.
local function stand(charge, jobId, standsFor, recheckMs)
  local line = quota .. 'w:' .. charge.line
  if standsFor ~= charge.line then
    if standsFor then
      redis.call('ZREM', quota .. 'w:' .. standsFor, jobId)
    end
    redis.call('ZADD', line, nowMs, jobId)
    redis.call('HSET', record, 'quotaLine', charge.line, 'waitQuota', charge.label)
  end
  return pauseMs(charge, redis.call('ZRANK', line, jobId), recheckMs)
end

local function chargeAll(charges)
  local lines = {}
  for index, charge in ipairs(charges) do
    local place, detail = counters[charge.counting].charge(charge)
    lines[index] = table.concat({charge.counting, charge.dimension, whole(charge.cost), place, detail, charge.counter}, ' ')
  end
  redis.call('HSET', record, 'quota', table.concat(lines, '\n'))
end

-- How far each limit is used, for the caller: amount, milliseconds until all of it is free again, …
local function append(reply, charges)
  for _, charge in ipairs(charges) do
    reply[#reply + 1] = whole(charge.used)
    reply[#reply + 1] = math.ceil(charge.resetMs)
  end
  return reply
end

-- A new call. Returns a refusal as it is to be replied, or the charges, to be taken once the call is let in.
function quotas.ask(text, latestMs, isScheduled)
  local charges, recheckMs, countersMax = readAll(text)
  local full, waits
  for _, charge in ipairs(charges) do
    if charge.cost > charge.limit then
      return append({'too_large', charge.index, whole(charge.used), 0}, charges)
    end
    if charge.whenFull == 'queue' and charge.retryMs == 0
      and redis.call('EXISTS', quota .. 'w:' .. charge.line) == 1 then
      -- There is room, but others have been waiting for it.
      charge.retryMs = 1
    end
    if charge.retryMs > 0 and not isScheduled then
      if charge.whenFull ~= 'queue' or nowMs + charge.retryMs > latestMs then
        full = (not full or charge.retryMs > full.retryMs) and charge or full
      else
        waits = (not waits or charge.retryMs > waits.retryMs) and charge or waits
      end
    end
  end
  if full then
    return append({'limited', full.index, whole(full.used), full.retryMs}, charges)
  end
  local crowded, names = isCrowded(charges, countersMax)
  if crowded then
    return append({'crowded', crowded.index, whole(names), crowded.windowMs}, charges)
  end
  return nil, {charges = charges, waits = waits, isScheduled = isScheduled, text = text, recheckMs = recheckMs}
end

-- Lets in what was asked for: charges it, or has it wait. Returns for how long, and the reply so far goes on.
function quotas.letIn(asked, jobId, reply)
  if asked.isScheduled or asked.waits then
    redis.call('HSET', record, 'quotaText', asked.text)
    reply[4] = asked.waits and stand(asked.waits, jobId, nil, asked.recheckMs) or 0
    if asked.waits then
      redis.call('HSET', record, 'waitReason', 'quota')
    end
  else
    chargeAll(asked.charges)
  end
  return append(reply, asked.charges)
end

-- How far the limits are used, without charging anything.
function quotas.look(text)
  return append({}, (readAll(text)))
end

-- A job that is not charged yet wants to begin. Returns how long it still has to wait; nil when it is charged now.
function quotas.take(text, jobId, standsFor)
  local charges, recheckMs = readAll(text)
  local waits
  for _, charge in ipairs(charges) do
    if charge.retryMs > 0 then
      waits = (not waits or charge.retryMs > waits.retryMs) and charge or waits
    end
  end
  if waits then
    redis.call('HSET', record, 'waitReason', 'quota')
    return stand(waits, jobId, standsFor, recheckMs)
  end
  chargeAll(charges)
  if standsFor then
    redis.call('ZREM', quota .. 'w:' .. standsFor, jobId)
  end
  redis.call('HDEL', record, 'quotaText', 'quotaLine', 'waitQuota', 'waitReason')
  return nil
end

-- A job that ends without ever having been charged leaves its line.
function quotas.leave(jobId, standsFor)
  redis.call('ZREM', quota .. 'w:' .. standsFor, jobId)
end

-- What was charged becomes what `used` says, by dimension; a dimension that is missing there stays as it was charged.
-- Returns the jobs that stand first in the lines of what became free.
function quotas.trueUp(text, used)
  local woken = {}
  for counting, dimension, charged, place, detail, counter in
    string.gmatch(text, '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)') do
    local delta = used[dimension] and used[dimension] - tonumber(charged) or 0
    if counting == 'open' then
      quotas.count(counter, -1)
      delta = -1
    elseif delta ~= 0 then
      counters[counting].change(quota .. 'c:' .. counter, delta, place, detail)
    end
    if delta < 0 then
      local line = string.match(counter, counting == 'calendar' and '^(.*):%d+$' or '^.*$')
      woken[#woken + 1] = redis.call('ZRANGE', quota .. 'w:' .. line, 0, 0)[1]
    end
  end
  return woken
end

-- What a job that has ended already used besides.
function quotas.add(text, used)
  for counting, dimension, _, place, detail, counter in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)') do
    if counting ~= 'open' and dimension ~= 'requests' and (used[dimension] or 0) > 0 then
      counters[counting].change(quota .. 'c:' .. counter, used[dimension], place, detail)
    end
  end
end

return quotas
end
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

--[[
  Intake: BullMQ itself puts jobs into `delayed`, `wait` and `prioritized` (retries, promotions, schedulers, stalled
  jobs). They enter their lane here, at the next dispatch. A job that was in its lane before takes its old place: the
  head, unless more urgent work has come. Bounded per call; the caller is told when something is left.
]]
local intakeMax = 64

local function whole(value, fallback)
  return type(value) == 'number' and value >= 0 and math.floor(value) or fallback
end

-- The ticket of a job that has none yet, from its data; what is no ticket of ours shares the lane without a name.
local function makeTicket(data)
  local fine, call = pcall(cjson.decode, data)
  if not fine or type(call) ~= 'table' then call = {} end
  local dueMs = whole(call.deadline, nil)
  if dueMs then dueMs = math.max(0, dueMs - readPool().config.deadlineLeadMs) end
  dueMs = dueMs or whole(call.arrival, nowMs)
  return {
    sequence = rcall('INCR', idKey), dueSeconds = math.floor(dueMs / 1000),
    input = whole(call.input, 1), output = whole(call.output, 0), max = whole(call.max, whole(call.output, 0)),
    tenant = type(call.tenant) == 'string' and call.tenant or '*', class = whole(call.class, -1) + 1,
  }
end

local function takeIn(jobId)
  local jobKey = jobKeyPrefix .. jobId
  local job = rcall('HMGET', jobKey, 'data', 'priority', 'ticket', 'grant')
  if not job[1] then
    rcall('ZREM', prioritizedKey, jobId)
    return
  end
  -- A job that comes back with a grant was lost by its worker: it may have been sent, so it stays charged.
  if job[4] then
    settleGrant(jobId, job[3], job[4])
    rcall('HDEL', jobKey, 'grant')
  end
  local ticket
  if job[3] then
    ticket = parseTicket(job[3])
  else
    ticket = makeTicket(job[1])
    rcall('HSET', jobKey, 'ticket', formatTicket(ticket))
  end
  enterLane(jobId, ticket, tonumber(job[2] or 0))
end

local function takeInDelayed()
  local jobIds = rcall('ZRANGEBYSCORE', delayedKey, 0, (nowMs + 1) * 0x1000 - 1, 'LIMIT', 0, intakeMax)
  for _, jobId in ipairs(jobIds) do
    rcall('ZREM', delayedKey, jobId)
    rcall('HSET', jobKeyPrefix .. jobId, 'delay', 0)
    rcall('XADD', eventsKey, '*', 'event', 'waiting', 'jobId', jobId, 'prev', 'delayed')
    takeIn(jobId)
  end
  return #jobIds
end

local function takeInWaiting()
  local taken = 0
  while taken < intakeMax do
    local jobId = rcall('RPOP', waitKey)
    if not jobId then break end
    takeIn(jobId)
    taken = taken + 1
  end
  return taken
end

local function takeInPrioritized()
  local jobIds = rcall('ZRANGEBYSCORE', prioritizedKey, 0, '+inf', 'LIMIT', 0, intakeMax)
  for _, jobId in ipairs(jobIds) do takeIn(jobId) end
  return #jobIds
end

-- True when more may be left than this call was allowed to take in.
local function takeInAll()
  return math.max(takeInDelayed(), takeInWaiting(), takeInPrioritized()) == intakeMax
end

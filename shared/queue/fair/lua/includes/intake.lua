--[[
  Intake: BullMQ itself puts jobs into `delayed`, `wait` and `prioritized` (retries, promotions, schedulers, stalled
  jobs). They enter their lane here, at the next dispatch. A job that was in its lane before takes its old place: the
  head, unless more urgent work has come. Bounded per call; the caller is told when something is left.
]]
local intake = {}
local most = 64

function intake.whole(value, fallback)
  return type(value) == 'number' and value >= 0 and math.floor(value) or fallback
end

-- The ticket of a job that has none yet, from its data; what is no ticket of ours shares the lane without a name.
function intake.makeTicket(data)
  local fine, said = pcall(cjson.decode, data)
  if not fine or type(said) ~= 'table' then said = {} end
  local dueMs = intake.whole(said.deadline, nil)
  if dueMs then dueMs = math.max(0, dueMs - pool.read().config.deadlineLeadMs) end
  dueMs = dueMs or intake.whole(said.arrival, nowMs)
  return {
    sequence = call('INCR', key.id), dueSeconds = math.floor(dueMs / 1000),
    input = intake.whole(said.input, 1), output = intake.whole(said.output, 0), max = intake.whole(said.max, intake.whole(said.output, 0)),
    tenant = type(said.tenant) == 'string' and said.tenant or '*', class = intake.whole(said.class, -1) + 1,
  }
end

function intake.take(jobId)
  local jobKey = key.jobPrefix .. jobId
  local job = call('HMGET', jobKey, 'data', 'priority', 'ticket', 'grant')
  if not job[1] then
    call('ZREM', key.prioritized, jobId)
    return
  end
  -- A job that comes back with a grant was lost by its worker: it may have been sent, so its ceilings stay charged.
  if job[4] then
    grants.settle(jobId, job[4], nil, nil, '', true)
    call('HDEL', jobKey, 'grant')
  end
  local ticket
  if job[3] then
    ticket = lanes.parseTicket(job[3])
  else
    ticket = intake.makeTicket(job[1])
    call('HSET', jobKey, 'ticket', entries.formatTicket(ticket))
  end
  entries.enterLane(jobId, ticket, tonumber(job[2] or 0))
end

function intake.takeDelayed()
  local jobIds = call('ZRANGEBYSCORE', key.delayed, 0, (nowMs + 1) * 0x1000 - 1, 'LIMIT', 0, most)
  for _, jobId in ipairs(jobIds) do
    call('ZREM', key.delayed, jobId)
    call('HSET', key.jobPrefix .. jobId, 'delay', 0)
    rcall('XADD', key.events, '*', 'event', 'waiting', 'jobId', jobId, 'prev', 'delayed')
    intake.take(jobId)
  end
  return #jobIds
end

function intake.takeWaiting()
  local taken = 0
  while taken < most do
    local jobId = call('RPOP', key.wait)
    if not jobId then break end
    intake.take(jobId)
    taken = taken + 1
  end
  return taken
end

function intake.takePrioritized()
  local jobIds = call('ZRANGEBYSCORE', key.prioritized, 0, '+inf', 'LIMIT', 0, most)
  for _, jobId in ipairs(jobIds) do intake.take(jobId) end
  return #jobIds
end

-- True when more may be left than this call was allowed to take in.
function intake.takeAll()
  return math.max(intake.takeDelayed(), intake.takeWaiting(), intake.takePrioritized()) == most
end

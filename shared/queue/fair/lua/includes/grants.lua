--[[
  Grants: what a job in hand was given. A field of its job, so it goes where the job goes:
  `<time ms> <credential> <scope> <weight> <cost> <tokens> <input> <output>`; `-` for no credential.
]]
local function formatGrant(grant)
  local reservation = grant.reservation
  return string.format('%d %s %s %.17g %.17g %d %d %d', grant.timeMs, grant.credential, grant.scope, grant.weight,
    grant.cost, reservation[2], reservation[3], reservation[4])
end

local function parseGrant(text)
  local timeMs, credential, scope, weight, cost, tokens, input, output =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  return {
    timeMs = tonumber(timeMs), credential = credential, scope = scope, weight = tonumber(weight),
    cost = tonumber(cost), reservation = { 1, tonumber(tokens), tonumber(input), tonumber(output) },
  }
end

local function costOf(input, output)
  local config = readPool().config
  return config.inputWeight * input + config.outputWeight * output
end

local nothing = { 0, 0, 0, 0 }

--[[
  A job has left the workers' hands. With usage its cost is trued up, for the lane and for the ceilings; without, both
  stay charged. `restored`: it was never sent, so nothing stays charged.
]]
local function settleGrant(jobId, ticketText, grantText, usedInput, usedOutput, restored)
  if not ticketText or not grantText then return end
  local ticket, grant = parseTicket(ticketText), parseGrant(grantText)
  releaseLease(grant.scope, jobId, ticket.tenant)
  if restored then
    moveCounter(ticket.tenant, -grant.cost / grant.weight)
    if grant.scope ~= '-' then
      readPool()
      settleReservation(grant, nothing, nothing)
    end
  elseif usedInput then
    moveCounter(ticket.tenant, (costOf(usedInput, usedOutput) - grant.cost) / grant.weight)
    if grant.scope ~= '-' then
      readPool()
      local atStart, atEnd = settlementFor(usedInput, usedOutput)
      if atStart then settleReservation(grant, atStart, atEnd) end
    end
  end
end

--[[
  Grants: what a job in hand was given. A field of its job, so it goes where the job goes:
  `<time ms> <credential> <scope> <weight> <cost> <input weight> <output weight> <settles> <tokens> <input> <output>`;
  `-` for no credential and no scope, `settles` 1 when the ceilings count what was really used.
]]
local grants = {}

function grants.format(grant)
  local reservation, config = grant.reservation, pool.config
  return string.format('%d %s %s %.17g %.17g %.17g %.17g %d %d %d %d', grant.timeMs, grant.credential, grant.scope,
    grant.weight, grant.cost, config.inputWeight, config.outputWeight, reserve.settles() and 1 or 0,
    reservation[2], reservation[3], reservation[4])
end

function grants.parse(text)
  local timeMs, credential, scope, weight, cost, inputWeight, outputWeight, settles, tokens, input, output = string.match(
    text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  return {
    timeMs = tonumber(timeMs), credential = credential, scope = scope, weight = tonumber(weight), cost = tonumber(cost),
    inputWeight = tonumber(inputWeight), outputWeight = tonumber(outputWeight), settles = settles == '1',
    reservation = { 1, tonumber(tokens), tonumber(input), tonumber(output) },
  }
end

--[[
  A job has left the workers' hands. With usage its cost is trued up, for the lane and for the ceilings; without, both
  stay charged. `restored`: it was never sent, so nothing stays charged. True when somebody may be waiting for this.
]]
function grants.settle(jobId, ticketText, grantText, usedInput, usedOutput, restored)
  if not ticketText or not grantText then return false end
  local ticket, grant = lanes.parseTicket(ticketText), grants.parse(grantText)
  local delta = 0
  if restored then
    delta = -grant.cost / grant.weight
  elseif usedInput then
    delta = (grant.inputWeight * usedInput + grant.outputWeight * usedOutput - grant.cost) / grant.weight
  end
  if grant.scope ~= '-' and (restored or (usedInput and grant.settles)) then
    pool.read()
    if restored then
      local nothing = { 0, 0, 0, 0 }
      reserve.settle(grant, nothing, nothing)
    else
      local atStart, atEnd = reserve.settlementFor(usedInput, usedOutput)
      if atStart then reserve.settle(grant, atStart, atEnd) end
    end
  end
  return leases.release(grant.scope, jobId, ticket.tenant, delta)
end

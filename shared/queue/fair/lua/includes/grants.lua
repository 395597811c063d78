--[[
  Grants: what a job in hand was given. A field of its job, so it goes where the job goes: the msgpack array
  { tenant, time ms, credential, scope, weight, cost, input weight, output weight, settles, tokens, input, output };
  `-` for no credential and no scope, `settles` when the ceilings count what was really used.
]]
local grants = {}

function grants.pack(tenant, weight, cost, credential, scope, reservation)
  local config = pool.config
  return cmsgpack.pack({
    tenant, pool.nowMs, credential, scope, weight, cost, config.inputWeight, config.outputWeight, scope ~= '-' and reserve.settles(),
    reservation[2], reservation[3], reservation[4],
  })
end

--[[
  A job has left the workers' hands. With usage its cost is trued up, for the lane and for the ceilings; without, both
  stay charged. `restored`: it was never sent, so nothing stays charged. True when somebody may be waiting for this.
]]
function grants.settle(jobId, packed, usedInput, usedOutput, restored)
  if not packed then return false end
  local tenant, timeMs, _, scope, weight, cost, inputWeight, outputWeight, settles, tokens, input, output =
    unpack(cmsgpack.unpack(packed))
  local delta = 0
  if restored then
    delta = -cost / weight
  elseif usedInput then
    delta = (inputWeight * usedInput + outputWeight * usedOutput - cost) / weight
  end
  if scope ~= '-' and (restored or (usedInput and settles)) then
    pool.read()
    local atStart, atEnd = { 0, 0, 0, 0 }, { 0, 0, 0, 0 }
    if not restored then atStart, atEnd = reserve.settlementFor(usedInput, usedOutput) end
    if atStart then reserve.settle(scope, timeMs, { 1, tokens, input, output }, atStart, atEnd) end
  end
  return leases.release(scope, jobId, tenant, delta)
end

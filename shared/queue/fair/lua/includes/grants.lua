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
  A job has left the workers' hands. True when somebody may be waiting for this.
  Its lane: a job that `returns` is charged anew when it is handed out again, so nothing of this charge stays; otherwise it
  is trued up by usage, and without usage it stays.
  Its ceilings: settled by usage as the provider settles it. `unused` 'all': it was never sent, and nothing stays charged.
  'output': the provider turned it away, and it produced nothing; the request counts all the same, and so does its input.
  Otherwise nobody knows what it has cost, and all of it stays charged until its window has passed.
]]
function grants.settle(jobId, packed, usedInput, usedOutput, unused, returns)
  if not packed then return false end
  local tenant, timeMs, credential, scope, weight, cost, inputWeight, outputWeight, settles, tokens, input, output =
    unpack(cmsgpack.unpack(packed))
  local delta = 0
  if returns or unused == 'all' then
    delta = -cost / weight
  elseif usedInput then
    delta = (inputWeight * usedInput + outputWeight * usedOutput - cost) / weight
  end
  if unused == 'output' then usedInput, usedOutput = input, 0 end
  if scope ~= '-' and (unused == 'all' or (usedInput and settles)) then
    pool.read()
    if unused == 'all' then health.release(credential, jobId) end
    local atStart, atEnd = { 0, 0, 0, 0 }, { 0, 0, 0, 0 }
    if unused ~= 'all' then atStart, atEnd = reserve.settlementFor(usedInput, usedOutput) end
    if atStart then reserve.settle(scope, timeMs, { 1, tokens, input, output }, atStart, atEnd) end
  end
  return leases.release(scope, jobId, tenant, delta)
end

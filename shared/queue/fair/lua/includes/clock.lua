--[[ Redis time in milliseconds, unless a test supplies one. ]]
local nowMs
--- @each call
nowMs = tonumber(arg.suppliedNowMs)
if not nowMs then
  local time = call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end

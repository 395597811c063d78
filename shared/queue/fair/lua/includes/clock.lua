--[[ Redis time in milliseconds, unless a test supplies one; nowText is the same as text. ]]
local nowMs, nowText
--- @each call
nowMs = tonumber(arg.suppliedNowMs)
if not nowMs then
  local time = call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
nowText = textOf(nowMs)

--[[
  Commands. Ours go through `call`; BullMQ's own, and all events, through `rcall`. BullMQ writes up to four events per job
  into a stream that only QueueEvents reads; a caller that has none mutes them, and they are never sent.

  A number as argument costs Redis as much as the command: it is printed with 17 digits. On the hot path arguments are
  therefore texts: '0', nowText, and textOf(n) for what is known to be whole.
]]
local call, rcall
local function textOf(whole) return string.format('%d', whole) end
local function callWithoutEvents(command, ...)
  if command == 'XADD' or command == 'XTRIM' then return false end
  return call(command, ...)
end
--- @each call
call = redis.call
rcall = arg.mutedEvents == '1' and callWithoutEvents or call

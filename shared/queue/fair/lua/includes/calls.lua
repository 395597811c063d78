--[[
  Every command of a script goes through `rcall`, BullMQ's own included. BullMQ writes up to four events per job into a
  stream that only QueueEvents reads; a caller that has none mutes them, and the commands are never sent.
]]
local rcall = redis.call
if arg.mutedEvents == '1' then
  rcall = function(command, ...)
    if command == 'XADD' or command == 'XTRIM' then return false end
    return redis.call(command, ...)
  end
end

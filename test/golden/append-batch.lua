#!lua flags=allow-oom
local batch = KEYS[1]
local done = KEYS[2]
local output = KEYS[3]
local errors = KEYS[4]
local token = ARGV[1]
local append = ARGV[2]
local outputPiece = ARGV[3]
local errorPiece = ARGV[4]
local outputBytes = ARGV[5]
local errorBytes = ARGV[6]
local completed = ARGV[7]
local failed = ARGV[8]
local unrun = ARGV[9]
local inputTokens = ARGV[10]
local cachedTokens = ARGV[11]
local outputTokens = ARGV[12]
local reasoningTokens = ARGV[13]
local nanoUsd = ARGV[14]
local cursorLine = ARGV[15]
local cursorOffset = ARGV[16]
local linesPerSecond = ARGV[17]
local restFrom = 18
-- append-batch: the one step by which lines of a batch are done.
-- Takes the pieces that hold their results into the batch, marks the lines, counts them; all or nothing, each line once.
-- KEYS  batch, done (bitmap of lines), output, errors (lists of `name bytes`)
-- ARGV  token, append (id of this step), outputPiece, errorPiece ('' = none), outputBytes, errorBytes, completed, failed,
--       unrun (of the failed: not run because the batch was over), inputTokens, cachedTokens, outputTokens, reasoningTokens, nanoUsd, cursorLine, cursorOffset (all before it is done),
--       linesPerSecond; rest = numbers of the lines
-- reply 'appended' | 'twice' (a line is done already; nothing was changed) | 'lost'
-- cost  O(lines)
local holder, lastAppend = unpack(redis.call('HMGET', batch, 'holder', 'lastAppend'))
if lastAppend == append then
  return 'appended'
end
if holder ~= token then
  return 'lost'
end
for index = restFrom, #ARGV do
  if redis.call('GETBIT', done, ARGV[index]) == 1 then
    return 'twice'
  end
end
for index = restFrom, #ARGV do
  redis.call('SETBIT', done, ARGV[index], 1)
end
if outputPiece ~= '' then
  redis.call('RPUSH', output, outputPiece .. ' ' .. outputBytes)
  redis.call('HINCRBY', batch, 'outputBytes', outputBytes)
end
if errorPiece ~= '' then
  redis.call('RPUSH', errors, errorPiece .. ' ' .. errorBytes)
  redis.call('HINCRBY', batch, 'errorBytes', errorBytes)
end
redis.call('HINCRBY', batch, 'completed', completed)
redis.call('HINCRBY', batch, 'failed', failed)
redis.call('HINCRBY', batch, 'unrun', unrun)
redis.call('HINCRBY', batch, 'inputTokens', inputTokens)
redis.call('HINCRBY', batch, 'cachedTokens', cachedTokens)
redis.call('HINCRBY', batch, 'outputTokens', outputTokens)
redis.call('HINCRBY', batch, 'reasoningTokens', reasoningTokens)
redis.call('HINCRBY', batch, 'nanoUsd', nanoUsd)
redis.call('HSET', batch, 'lastAppend', append, 'cursorLine', cursorLine, 'cursorOffset', cursorOffset,
  'linesPerSecond', linesPerSecond)
return 'appended'

/**
 * Runs `task` when everything that is ready in this turn of the event loop has been handled: the answers that came over
 * all sockets at once, not only those of the socket that came first.
 */
export function atEndOfTurn(task: () => void): void {
  setImmediate(task);
}

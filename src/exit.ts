/**
 * How the process ends.
 */

/** What a thread of the pool may be waiting for: a name server, a disk. */
const POOLED = /^(?:GetAddrInfo|GetNameInfo|FS)Req/

/**
 * Ends the process at once. `process.exit` joins the threads of node's pool, and one that asks a dead name server answers after
 * many seconds only: then the process becomes another program, which ends with the same code.
 */
export function exitNow(code: number): never {
  if (process.execve !== undefined && process.getActiveResourcesInfo().some((name) => POOLED.test(name))) {
    process.emit('exit', code)
    process.execve(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {})
  }
  process.exit(code)
}

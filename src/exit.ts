/**
 * How the process ends.
 */

/** Requests that may block a thread of the pool: name servers, disks. */
const POOLED = /^(?:GetAddrInfo|GetNameInfo|FS)Req/

/**
 * Ends the process at once. `process.exit` joins the threads of node's pool, and one that waits for a dead name server blocks
 * for many seconds: in that case the process execs another program, which exits with the same code.
 */
export function exitNow(code: number): never {
  if (process.execve !== undefined && process.getActiveResourcesInfo().some((name) => POOLED.test(name))) {
    process.emit('exit', code)
    process.execve(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {})
  }
  process.exit(code)
}

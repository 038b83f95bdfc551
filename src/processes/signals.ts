/**
 * Signals to the processes of banyan. What is sent to all of them, as ^C, a hang-up and `kill -- -PGID` are, is for the primary.
 */

const HANDLED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

/** By default these end a process that is only starting, or open node's debugger. The primary has nothing yet to reload. */
const IGNORED_AT_START = {
  worker: HANDLED,
  serve: ['SIGHUP', 'SIGUSR1', 'SIGUSR2'],
} satisfies Record<string, readonly NodeJS.Signals[]>

/** To be called before anything else is loaded, which takes a while. */
export function ignoreSignals(command: string | undefined): void {
  if (command !== 'worker' && command !== 'serve') return
  for (const signal of IGNORED_AT_START[command]) process.on(signal, ignore)
}

/** Whether a worker that was starting has ended by a signal that it would have ignored: node starts with the defaults, whatever its parent has set. */
export function isForPrimary(signal: NodeJS.Signals | null): boolean {
  return (HANDLED as readonly (string | null)[]).includes(signal)
}

function ignore(): void {
  // The primary handles it, and serve() once it has begun.
}

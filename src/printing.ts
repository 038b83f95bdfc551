/**
 * Output of the commands: a failed write interrupts no work, and all output is flushed before the process exits.
 */
import { fstatSync, writeFileSync } from 'node:fs'

let failure: NodeJS.ErrnoException | null = null

let atFailure: (() => void) | null = null

function failed(error: Error | null | undefined): void {
  if (!error) return
  failure ??= error
  atFailure?.()
}

/** Calls back when stdout can't be written any more: its pipe was closed, or its disk is full. At once if that has happened already. */
export function whenOutputEnds(end: () => void): void {
  atFailure = end
  if (failure !== null) end()
}

// Without a listener a write error ends the process: a deploy would stop halfway because its pager was closed.
process.stdout.on('error', failed)
process.stderr.on('error', () => {})

/** Prints to stdout. Never throws: `printed` reports errors. */
export function toStdout(text: string): void {
  if (!fstatSync(1).isFile()) {
    process.stdout.write(text, failed)
    return
  }
  try {
    // On a nearly full disk, node's stream for files takes a partial write for a complete one.
    writeFileSync(1, text)
  } catch (error) {
    failed(error as Error)
  }
}

/** Prints to stderr. Never throws. */
export function toStderr(text: string): void {
  process.stderr.write(text)
}

/**
 * Waits until all output is flushed.
 * @param code the exit code of the command
 * @returns the exit code of the process: 1 instead of 0 if stdout could not be written. A closed pipe is not a failure.
 */
export async function printed(code: number): Promise<number> {
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))))
  if (failure === null || failure.code === 'EPIPE') return code
  toStderr(`banyan: can't write to stdout: ${failure.message}\n`)
  return code === 0 ? 1 : code
}

/**
 * What the commands print: a write that fails interrupts no work, and whatever was printed arrives before the process ends.
 */
import { fstatSync, writeFileSync } from 'node:fs'

let failure: NodeJS.ErrnoException | null = null

function failed(error: Error | null | undefined): void {
  if (error) failure ??= error
}

// Without a listener the error of a write ends the process: a deploy would stop half-way because its pager was closed.
process.stdout.on('error', failed)
process.stderr.on('error', () => {})

/** Prints to stdout. Never throws: `printed` tells what went wrong. */
export function toStdout(text: string): void {
  if (!fstatSync(1).isFile()) {
    process.stdout.write(text, failed)
    return
  }
  try {
    // Node's stream for files takes a part that was written, on a disk that is nearly full, for the whole.
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
 * Waits until a slow reader has taken everything that was printed.
 * @param code the exit code of the command
 * @returns the exit code of the process: 1 for 0 where stdout could not be written. A reader that has gone is no failure.
 */
export async function printed(code: number): Promise<number> {
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))))
  if (failure === null || failure.code === 'EPIPE') return code
  toStderr(`banyan: can't write to stdout: ${failure.message}\n`)
  return code === 0 ? 1 : code
}

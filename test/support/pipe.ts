/**
 * Pipes that a test reads, or does not, as the standard output of a program.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

/** A real pipe of the system, 64 KiB wide: what `spawn` makes is a socket, and is read without being asked. */
export class Pipe {
  readonly path: string
  /** For the child; `handed` closes it here. */
  readonly writeEnd: number
  #readEnd: number | null
  #handed = false

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'banyan-pipe-'))
    this.path = join(folder, 'pipe')
    execFileSync('mkfifo', [this.path])
    this.#readEnd = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK)
    this.writeEnd = openSync(this.path, constants.O_WRONLY)
    onTestFinished(() => {
      this.handed()
      this.close()
      rmSync(folder, { recursive: true })
    })
  }

  /** The child has its end: the one here is closed. */
  handed(): void {
    if (!this.#handed) closeSync(this.writeEnd)
    this.#handed = true
  }

  /** What is in the pipe now. */
  read(): string {
    const bytes = Buffer.alloc(1024 * 1024)
    try {
      return bytes.toString('utf8', 0, readSync(this.#readEnd as number, bytes))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return ''
      throw error
    }
  }

  /**
   * Reads until what came holds what is looked for; nothing tells of it, so it is looked for again and again.
   * @returns all that came
   */
  async readUntil(wanted: string | ((text: string) => boolean)): Promise<string> {
    const isThere = typeof wanted === 'string' ? (text: string) => text.includes(wanted) : wanted
    for (let text = ''; ; await wait(10)) {
      text += this.read()
      if (isThere(text)) return text
    }
  }

  /** The reader goes away. */
  close(): void {
    if (this.#readEnd !== null) closeSync(this.#readEnd)
    this.#readEnd = null
  }
}

/**
 * A reader of a tutorial: types its commands into one shell, block after block, and takes down what comes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from '../support/free-port.ts'

/** A block of commands, and what the page shows under it; empty where it shows nothing. */
export interface Block {
  readonly commands: string
  readonly shown: string
  /** Of the first command, in the page. */
  readonly line: number
}

/** For a block of commands to end. */
const WITHIN_MS = 240_000
/** For what programs in the background have to say after that. */
const LATER_MS = 120_000

/** The blocks of a page in order: ```sh is typed, a ```text right behind it is what comes. */
export function blocksOf(page: string): Block[] {
  const found = page.matchAll(/^```sh\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm)
  return [...found].map((match) => ({
    commands: match[1] as string,
    shown: match[2] ?? '',
    line: page.slice(0, match.index).split('\n').length + 1,
  }))
}

/** One bash, from the first block to the last. */
export class Session {
  readonly #child: ChildProcess
  readonly #ports: ReadonlyMap<string, string>
  #said = ''
  #stuck = false
  #look: () => void = () => {}

  /** @param ports for each port of the page the one that is used instead */
  constructor(folder: string, env: NodeJS.ProcessEnv, ports: ReadonlyMap<string, string>) {
    this.#ports = ports
    // A process group of its own, so that its background jobs can be ended with it.
    this.#child = spawn('bash', ['--noprofile', '--norc'], {
      cwd: folder,
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
      this.#look()
    })
    this.#child.stdin!.write('exec 2>&1\n')
  }

  /**
   * Types a block, and waits until it is done and has said what is shown, which a program in the background may do later.
   * @returns what came, in the words of the page
   * @throws after a block that has not ended in time: what follows would be typed into its commands
   */
  async type({ commands, shown }: Block): Promise<string> {
    if (this.#stuck) throw new Error('an earlier block has not ended')
    const end = `-- ${crypto.randomUUID()} --\n`
    const text = translate(commands, this.#ports)
    this.#said = ''
    this.#child.stdin!.write(`${text}echo '${end.trim()}'\n`)
    await new Promise<void>((resolve) => {
      let timer = setTimeout(() => {
        this.#stuck = true
        resolve()
      }, WITHIN_MS)
      let hasEnded = false
      this.#look = () => {
        if (!hasEnded && this.#said.includes(end)) {
          hasEnded = true
          clearTimeout(timer)
          timer = setTimeout(resolve, LATER_MS)
        }
        if (!hasEnded || this.#said.length < shown.length + end.length) return
        clearTimeout(timer)
        resolve()
      }
      this.#look()
    })
    return translate(this.#said.replace(end, ''), new Map([...this.#ports].map(([port, used]) => [used, port])))
  }

  /** Ends the shell and whatever still runs in it. */
  async close(): Promise<void> {
    const closed = once(this.#child, 'close')
    try {
      process.kill(-(this.#child.pid as number), 'SIGTERM')
    } catch {
      // Nothing of it is left.
    }
    this.#child.stdin!.end()
    await closed
  }
}

function translate(text: string, words: ReadonlyMap<string, string>): string {
  return text.replace(/\d{4,5}/g, (number) => words.get(number) ?? number)
}

/** Free ports of loopback: one for each of those that a page names. */
export async function freePorts(ports: readonly string[]): Promise<Map<string, string>> {
  const free = new Map<string, string>()
  for (const port of ports) free.set(port, String(await freePort()))
  return free
}

/**
 * Starts a real banyan process for the smuggling tests, and sends raw bytes to it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const PROGRAM = join(import.meta.dirname, '../../bin/banyan.js')

export interface Banyan {
  readonly port: number
  /** Sends SIGTERM and waits for the end. @returns the exit code */
  stop(): Promise<number | null>
}

/**
 * Starts banyan on free ports.
 * @param table the text of routes.yaml
 * @throws {Error} it ended before it was ready, with what it wrote
 */
export async function startBanyan(table: string): Promise<Banyan> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-'))
  const file = join(folder, 'routes.yaml')
  writeFileSync(file, table)
  const args = [
    'serve',
    '--table',
    file,
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--access-log',
    'none',
    '--workers',
    '0',
  ]
  const process_ = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const port = await readyPort(process_)
  return {
    port,
    async stop() {
      const ended = once(process_, 'exit')
      process_.kill('SIGTERM')
      const [code] = await ended
      rmSync(folder, { recursive: true, force: true })
      return code as number | null
    },
  }
}

async function readyPort(process_: ChildProcess): Promise<number> {
  const said: string[] = []
  process_.stderr!.on('data', (text: Buffer) => said.push(text.toString()))
  for await (const line of createInterface({ input: process_.stdout! })) {
    said.push(line)
    const ready = /^banyan ready http:\/\/127\.0\.0\.1:([0-9]+)/.exec(line)
    if (ready === null) continue
    process_.stdout!.resume()
    return Number(ready[1])
  }
  throw new Error(`banyan did not start:\n${said.join('\n')}`)
}

/** One answer as a client reads it. */
export interface ClientAnswer {
  readonly status: number
  /** Head with its status line, Latin-1, without the empty line. */
  readonly head: string
  readonly body: string
  /** False where the connection ended before the body did. */
  readonly complete: boolean
}

/** A raw client connection. */
export class RawClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  /** The connection ended in a reset. */
  reset = false
  #bytes = ''

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('data', (piece: Buffer) => {
      this.#bytes += piece.toString('latin1')
    })
    // 'close' follows.
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.reset = error.code === 'ECONNRESET'
    })
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
  }

  /** All bytes received so far, as Latin-1 text. */
  get received(): string {
    return this.#bytes
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Waits until `enough` holds for the bytes received, or the connection is closed. */
  async until(enough: (received: string) => boolean): Promise<void> {
    while (!enough(this.#bytes) && !this.socket.closed) {
      await Promise.race([once(this.socket, 'data'), this.closed])
    }
  }
}

/**
 * Sends bytes on a connection of their own, and reads until banyan closes it.
 * @returns all that came back, as Latin-1 text
 */
export async function converse(port: number, text: string): Promise<string> {
  const client = new RawClient(port)
  client.send(text)
  await client.closed
  return client.received
}

/**
 * Reads the answers in what a client received. Interim ones are skipped. It is strict: what is no answer makes it throw,
 * so that a byte which does not belong to one can't go unseen.
 * @param methods of the requests in order; answers to HEAD have no body
 * @param ended the connection is closed, so that an answer without a length is complete
 */
export function readAnswers(received: string, methods: readonly string[], ended = true): ClientAnswer[] {
  const answers: ClientAnswer[] = []
  let rest = received
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) throw new Error(`no head: ${JSON.stringify(rest.slice(0, 200))}`)
    const head = rest.slice(0, end)
    rest = rest.slice(end + 4)
    if (!/^HTTP\/1\.1 [0-9]{3} [^\r\n]*(\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*$/.test(head)) {
      throw new Error(`odd head: ${JSON.stringify(head)}`)
    }
    const status = Number(head.slice(9, 12))
    if (status < 200 && status !== 101) continue
    const bodiless = methods[answers.length] === 'HEAD' || status === 204 || status === 304 || status === 101
    const { body, next, complete } = bodiless ? { body: '', next: 0, complete: true } : readBody(head, rest, ended)
    answers.push({ status, head, body, complete })
    rest = rest.slice(next)
  }
  return answers
}

function readBody(head: string, rest: string, ended: boolean): { body: string; next: number; complete: boolean } {
  const length = /\r\ncontent-length: ([0-9]+)/i.exec(head)
  if (length !== null) {
    const bytes = Number(length[1])
    return { body: rest.slice(0, bytes), next: Math.min(bytes, rest.length), complete: rest.length >= bytes }
  }
  if (!/\r\ntransfer-encoding: chunked/i.test(head)) return { body: rest, next: rest.length, complete: ended }
  let body = ''
  let at = 0
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest.slice(at))
    if (size === null) {
      if (!/^[0-9a-f]*\r?$/i.test(rest.slice(at)))
        throw new Error(`odd chunk: ${JSON.stringify(rest.slice(at, at + 80))}`)
      return { body, next: rest.length, complete: false }
    }
    const bytes = Number.parseInt(size[1] as string, 16)
    at += size[0].length
    if (bytes === 0) break
    body += rest.slice(at, at + bytes)
    at += bytes
    if (at >= rest.length) return { body, next: rest.length, complete: false }
    if (rest.slice(at, at + 2) !== '\r\n') throw new Error('a chunk longer than its size')
    at += 2
  }
  const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(rest.slice(at))
  if (trailers === null) return { body, next: rest.length, complete: false }
  return { body, next: at + trailers[0].length, complete: true }
}

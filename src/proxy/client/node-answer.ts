/**
 * Answers through node:http's `ServerResponse`.
 */
import type { ServerResponse } from 'node:http'
import { fieldValue } from '../../rules/http/exchange.ts'
import { endGently } from '../../wire/gentle-end.ts'
import { onceWritten } from '../../wire/read-memory.ts'
import { Answer } from './answer.ts'
import { reset } from './sockets.ts'

/** A response of node:http. */
export class NodeAnswer extends Answer {
  readonly #res: ServerResponse
  #fields: readonly string[] = []

  constructor(res: ServerResponse) {
    super()
    this.#res = res
  }

  get persistent(): boolean {
    return this.#res.shouldKeepAlive
  }

  closes(): void {
    this.#res.shouldKeepAlive = false
  }

  whenDrained(listener: () => void): void {
    this.#res.once('drain', listener)
  }

  protected get dead(): boolean {
    return this.#res.destroyed
  }

  protected get isHead(): boolean {
    return this.#res.req.method === 'HEAD'
  }

  protected get hearsInterim(): boolean {
    return this.#res.req.httpVersionMinor !== 0
  }

  /** The reason is node:http's own. */
  protected sendInformation(status: number, _reason: string, fields: readonly string[]): void {
    if (status === 100 && fields.length === 0) this.#res.writeContinue()
    else this.#res.writeInformation(status, [...fields])
  }

  protected open(status: number, reason: string, fields: readonly string[]): void {
    this.#fields = fields
    this.#res.writeHead(status, reason, fields as never)
  }

  protected sendHead(): boolean {
    this.#res.flushHeaders()
    return true
  }

  protected write(piece: Buffer | string, spent: boolean): boolean {
    if (typeof piece === 'string') return this.#res.write(piece, 'latin1')
    return this.#res.write(piece, spent ? onceWritten(piece) : undefined)
  }

  override sendNow(): void {
    const { req, socket, destroyed } = this.#res
    // node:http may close the connection while the client is still sending: avoid an RST.
    if (!destroyed && !req.complete && socket !== null) socket.destroySoon = () => endGently(socket)
    super.sendNow()
  }

  protected finishWhole(): boolean {
    return false
  }

  protected finish(last: Buffer | string | null, spent: boolean, trailers: readonly string[]): void {
    if (trailers.length > 0 && this.#res.chunkedEncoding) this.#res.addTrailers(pairs(trailers) as never)
    if (last === null) this.#res.end()
    else if (typeof last === 'string') this.#res.end(last, 'latin1')
    else this.#res.end(last, spent ? onceWritten(last) : undefined)
  }

  protected cut(opened: boolean): void {
    const { socket, chunkedEncoding } = this.#res
    // If the body ends with the connection, only a reset tells the client that it is incomplete.
    const openEnded = opened && !chunkedEncoding && fieldValue(this.#fields, 'content-length') === undefined
    if (openEnded && socket !== null) reset(socket)
    this.#res.destroy()
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  const out: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) out.push([flat[i] as string, flat[i + 1] as string])
  return out
}

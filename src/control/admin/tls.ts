/**
 * TLS of the admin server: handshakes are limited in time and number, and begun one per turn of the event loop, as requests are.
 */

import { constants } from 'node:crypto'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import type { ServerPair } from '../../state/tls/server-tls.ts'
import type { ControlLog } from '../control-log.ts'
import { AdminProblem } from '../http/problem.ts'
import { onePerTurn } from '../turns.ts'
import { ADMIN_BOUNDS, type AdminBounds, responseOf, TELL_MS } from './server.ts'

/** What the operator allows. */
export interface AdminTlsTerms {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL's names, separated by colons. */
  readonly ciphers: string
}

/** Of node:tls: the connection that a secure one is made from. */
type Inner = TLSSocket & { readonly _parent?: Socket | null }

/** First byte of a TLS record that begins a handshake, and the bytes before its content (RFC 8446 section 5.1). */
const HANDSHAKE = 22
const RECORD_HEAD = 5

/**
 * Has the admin server speak TLS: what it did with a connection, it does once that is secure. The caller listens, after it has set a
 * certificate.
 * @returns sets the certificate of new connections; throws what node:tls throws for one that it can't use, and nothing has changed
 */
export function speakTls(
  server: Server,
  { minVersion, ciphers }: AdminTlsTerms,
  log: ControlLog,
  bounds: AdminBounds = ADMIN_BOUNDS,
): (pair: ServerPair) => void {
  const speakHttp = server.listeners('connection')
  /** Connections that are not secure, with what ends them; the oldest first. */
  const open = new Map<Socket, NodeJS.Timeout>()
  const inTurn = onePerTurn()
  let toldMs = Number.NEGATIVE_INFINITY

  // It never listens.
  const tls = createServer({ ALPNProtocols: ['http/1.1'] })
  tls.on('secureConnection', (socket: Inner) => {
    leave(socket._parent as Socket)
    for (const speak of speakHttp) speak.call(server, socket)
  })

  server.removeAllListeners('connection')
  server.on('connection', (raw) => {
    const timer = setTimeout(() => raw.destroy(), bounds.headMs).unref()
    open.set(raw, timer)
    raw.on('error', ignore)
    raw.once('close', () => leave(raw))
    if (open.size > bounds.connections) makeRoom()
    whenBegun(raw, (bytes) => {
      if (bytes[0] === HANDSHAKE) inTurn(() => shake(raw, bytes))
      else {
        // Bytes unread would make its end a reset, and the client might never read the answer.
        raw.end(responseOf(new AdminProblem('malformed-request', 'This port speaks HTTPS: use https://.')))
        raw.resume()
      }
    })
  })

  function shake(raw: Socket, bytes: Buffer): void {
    if (raw.destroyed) return
    // Who ends his side in a handshake has left.
    raw.allowHalfOpen = false
    raw.unshift(bytes)
    tls.emit('connection', raw)
  }

  function leave(raw: Socket): void {
    clearTimeout(open.get(raw))
    open.delete(raw)
  }

  function makeRoom(): void {
    const [oldest] = open.keys()
    if (oldest === undefined) return
    const nowMs = performance.now()
    if (nowMs - toldMs >= TELL_MS) {
      toldMs = nowMs
      const told = `the admin API has more than ${bounds.connections} TLS handshakes: closed the oldest one`
      log.warn({ event: 'admin-connections', client: oldest.remoteAddress }, told)
    }
    leave(oldest)
    oldest.destroy()
  }

  return ({ cert, key }) =>
    tls.setSecureContext({
      ...{ cert, key, minVersion, ciphers },
      // Without any, node:tls would read those of all public authorities.
      ca: [],
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    })
}

/** Calls back with what a client has sent first: its whole first record, or something that is no TLS. */
function whenBegun(raw: Socket, back: (bytes: Buffer) => void): void {
  let held = Buffer.alloc(0)
  const leave = (): void => void raw.destroy()
  const read = (): void => {
    const arrived = raw.read() as Buffer | null
    if (arrived === null) return
    held = Buffer.concat([held, arrived])
    // OpenSSL refuses a record that is longer than it may be.
    const isWhole = held.length >= RECORD_HEAD && held.length >= RECORD_HEAD + held.readUInt16BE(3)
    if (held[0] === HANDSHAKE && !isWhole) return
    raw.off('readable', read)
    raw.off('end', leave)
    back(held)
  }
  raw.on('readable', read)
  raw.on('end', leave)
}

function ignore(): void {
  // 'close' follows and handles it.
}

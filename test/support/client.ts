/**
 * A client of raw bytes: sends what a test says, reads what comes.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import { type RawResponse, readResponse } from './message.ts'
import { Wire } from './wire.ts'

/** A connection to a proxy or server on loopback. */
export class RawClient extends Wire {
  /**
   * Reads the next response, interim ones included.
   * @throws {BrokenOff} where it is not complete
   */
  nextResponse(method = 'GET'): Promise<RawResponse> {
    return readResponse(this, method)
  }

  /** Sends a request and reads its response. */
  async ask(request: string, method = request.slice(0, request.indexOf(' '))): Promise<RawResponse> {
    await this.send(request)
    return await this.nextResponse(method)
  }
}

/** Connects. The connection is reset at the end of the test: behind a FIN alone the client might still wait for its response. */
export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const client = new RawClient(socket)
  onTestFinished(() => {
    socket.resetAndDestroy()
  })
  await once(socket, 'connect')
  return client
}

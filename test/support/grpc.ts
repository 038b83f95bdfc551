/**
 * Servers of gRPC for tests, by @grpc/grpc-js. Messages are texts or bytes as they are: what Protocol Buffers would make of them is all one to a
 * proxy.
 */
import type { MethodDefinition, Server, ServerCredentials } from '@grpc/grpc-js'

/** How messages become bytes, and back. */
interface Codec<Message> {
  to(message: Message): Buffer
  from(bytes: Buffer): Message
}

export const TEXTS: Codec<string> = { to: (text) => Buffer.from(text), from: String }
export const BYTES: Codec<Buffer> = { to: (bytes) => bytes, from: (bytes) => bytes }

/** What makes the methods of a service, such as `demo.Echo`. */
export function methodsOf<Message>(service: string, { to, from }: Codec<Message>) {
  return (name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Message, Message> => ({
    path: `/${service}/${name}`,
    ...{ requestStream, responseStream, requestSerialize: to, responseSerialize: to },
    ...{ requestDeserialize: from, responseDeserialize: from },
  })
}

/** Has a server listen on a free port. @returns the port */
export function listening(server: Server, secret: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', secret, (error, port) => (error ? reject(error) : resolve(port))),
  )
}

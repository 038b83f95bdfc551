/**
 * The outcome of a gRPC call: `grpc-status` in its trailers, or in the head of a response without a body; the HTTP status is always 200.
 */
import { fieldValue } from './exchange.ts'

/** By gRPC's code, the HTTP status that says the same (google/rpc/code.proto). */
const STATUSES = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]

/** Whether a response is one of gRPC. @param fields name, value, name, value */
export function isGrpc(fields: readonly string[]): boolean {
  const type = fieldValue(fields, 'content-type')
  return type !== undefined && /^application\/grpc(?:[+;]|$)/i.test(type)
}

/** The outcome as an HTTP status; null where it is not said. @param fields of the head or the trailers: name, value, name, value */
export function grpcOutcome(fields: readonly string[]): number | null {
  const said = fieldValue(fields, 'grpc-status')
  return said === undefined ? null : (STATUSES[Number(said)] ?? 500)
}

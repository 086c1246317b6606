// Turns whatever a request failed with into a row of the service's own error table.
import { ProxyError } from '../lib/proxy-error.ts';
import { RequestBodyError } from '../novelai/request-body-error.ts';

/** Gives the error to answer with; what is not known is a fault of the service itself. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  if (error instanceof RequestBodyError)
    return new ProxyError('client_invalid_body', { message: error.message, cause: error });
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  if (status === 413) return new ProxyError('client_body_too_large', { cause: error });
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new ProxyError('client_invalid_body', {
      message: error instanceof Error ? error.message : undefined,
      cause: error,
    });
  return new ProxyError('proxy_internal', { cause: error });
}

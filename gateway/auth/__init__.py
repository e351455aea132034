"""Who is asking: credentials, tokens and session cookies, told as a principal.

Here belongs all that turns what a client sends into a :class:`gateway.principal.Principal`, and the admin's
face for tokens. What a principal may do with a thing is decided where the thing is.
"""

from gateway.auth.attempts import Attempts
from gateway.auth.authenticator import TokenAuthenticator
from gateway.auth.code_flow import CodeFlow
from gateway.auth.cookies import SESSION_COOKIE, SESSION_SECONDS, Session, SessionCookies
from gateway.auth.credentials import Credential, credential_of
from gateway.auth.face import AuthFace
from gateway.auth.identity import Authenticator, Forbidden, Identity, InvalidCredentials, principal_for
from gateway.auth.issuer import Issuer, IssuerUnavailable
from gateway.auth.login_face import LoginFace
from gateway.auth.middleware import auth_middleware
from gateway.auth.oidc import OidcAuthenticator
from gateway.auth.own_tokens_face import OwnTokensFace
from gateway.auth.tokens import IssuedToken, TokenGrant, TokenStore, TokenStoreUnavailable

__all__ = [
    "SESSION_COOKIE",
    "SESSION_SECONDS",
    "Attempts",
    "AuthFace",
    "Authenticator",
    "CodeFlow",
    "Credential",
    "Forbidden",
    "Identity",
    "InvalidCredentials",
    "IssuedToken",
    "Issuer",
    "IssuerUnavailable",
    "LoginFace",
    "OidcAuthenticator",
    "OwnTokensFace",
    "Session",
    "SessionCookies",
    "TokenAuthenticator",
    "TokenGrant",
    "TokenStore",
    "TokenStoreUnavailable",
    "auth_middleware",
    "credential_of",
    "principal_for",
]

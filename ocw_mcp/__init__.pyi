"""The public interface: each name from its own module. `__init__.py` reads these lines."""

from ocw_mcp.adapters.store.views.decisions import DecisionRow as DecisionRow
from ocw_mcp.adapters.store.views.orders import OrderRow as OrderRow
from ocw_mcp.adapters.store.views.orders import RefusalRow as RefusalRow
from ocw_mcp.adapters.store.views.trades import TradeRow as TradeRow
from ocw_mcp.app.api.connection import EngineClient as EngineClient
from ocw_mcp.app.api.connection import connect as connect
from ocw_mcp.app.api.records import Records as Records
from ocw_mcp.app.api.replaying import ReplayResult as ReplayResult
from ocw_mcp.app.api.replaying import replay as replay
from ocw_mcp.app.export import EquityPoint as EquityPoint
from ocw_mcp.domain.decision import Action as Action
from ocw_mcp.domain.decision import Comparison as Comparison
from ocw_mcp.domain.decision import Decision as Decision
from ocw_mcp.domain.decision import Leg as Leg
from ocw_mcp.domain.decision import WakeCondition as WakeCondition
from ocw_mcp.domain.errors import AttachError as AttachError
from ocw_mcp.domain.errors import BookBusy as BookBusy
from ocw_mcp.domain.errors import BookError as BookError
from ocw_mcp.domain.errors import FeedError as FeedError
from ocw_mcp.domain.errors import FetchError as FetchError
from ocw_mcp.domain.errors import JournalDiverged as JournalDiverged
from ocw_mcp.domain.errors import JournalError as JournalError
from ocw_mcp.domain.errors import MarketUnreachable as MarketUnreachable
from ocw_mcp.domain.errors import OcwError as OcwError
from ocw_mcp.domain.errors import SettingsError as SettingsError
from ocw_mcp.domain.errors import StrategyError as StrategyError
from ocw_mcp.domain.errors import TapeError as TapeError
from ocw_mcp.domain.errors import VenueRefused as VenueRefused
from ocw_mcp.domain.figures import TradePart as TradePart
from ocw_mcp.domain.happenings import GuardPlan as GuardPlan
from ocw_mcp.domain.happenings import Happening as Happening
from ocw_mcp.domain.happenings import HappeningKind as HappeningKind
from ocw_mcp.domain.happenings import RestingOrder as RestingOrder
from ocw_mcp.domain.happenings import StandingCondition as StandingCondition
from ocw_mcp.domain.requests import RequestError as RequestError
from ocw_mcp.domain.snapshot import Correlation as Correlation
from ocw_mcp.domain.snapshot import DerivativesView as DerivativesView
from ocw_mcp.domain.snapshot import Feasible as Feasible
from ocw_mcp.domain.snapshot import FormingCandle as FormingCandle
from ocw_mcp.domain.snapshot import FormingView as FormingView
from ocw_mcp.domain.snapshot import IndicatorValues as IndicatorValues
from ocw_mcp.domain.snapshot import PositionView as PositionView
from ocw_mcp.domain.snapshot import Remark as Remark
from ocw_mcp.domain.snapshot import SizeStep as SizeStep
from ocw_mcp.domain.snapshot import Snapshot as Snapshot
from ocw_mcp.domain.snapshot import SymbolView as SymbolView
from ocw_mcp.domain.snapshot import SymbolWake as SymbolWake
from ocw_mcp.domain.snapshot import TradeView as TradeView
from ocw_mcp.domain.snapshot import WakeKind as WakeKind
from ocw_mcp.domain.snapshot import WakeReason as WakeReason
from ocw_mcp.domain.unknown import Unknown as Unknown

__version__: str
__all__: list[str]
